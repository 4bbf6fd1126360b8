"""The words of refusals, as mail servers write them; texts are lower-case with single spaces.

Each gap is short and each expression linear, so that no text of a stranger costs time.
"""

import re


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in alternatives))


_WHO = (
    r"\b(?:user|usrer|recipient|mail ?box|account|address|addressee|alias|e-?mail(?: address)?|rcpt|"
    r"local.?part|login|subscriber|person|mailing list|maildrop|customer)s?\b"
)
_GAP = r"(?: [^ ;]{1,80}){0,8}?"

MAILBOX_FULL = _any(
    r"over ?-?quota|quota (?:is |was |has been |limit )*(?:exceed|full|reached|used|violation)",
    r"exceed(?:s|ed|ing)?(?: [^ ]{1,40}){0,6}? (?:disk |mail ?box |mail |storage )*quota",
    r"(?:disk|mail ?box|storage|mail|user's|his|her|their) quota",
    r"(?:mail ?box|mail ?folder|inbox|mail ?drop|account|incoming mail|mail ?file|disk) (?:\S{1,80} )?"
    r"(?:is |are |has |was |currently |seems |too |already |temporarily )*(?:full\b|overfull|overflow)",
    r"full (?:mail ?box|inbox)|mail ?box[-_.]?full|mbox.?full",
    r"mail ?box (?:\S{1,80} )?(?:has |have )?(?:exceed|reached|is over|over)(?:s|ed)?(?: \S{1,30}){0,4} "
    r"(?:size|limit|storage|capacity|allo)",
    r"exceed(?:s|ed)?(?: \S{1,30}){0,4} (?:storage|mail ?box|disk|allocated|capacity|space)",
    r"(?:mail ?box|storage|disk|space|file) (?:size |space )?(?:limit|allocation|allotment) "
    r"(?:exceed|reached|violat|has been)",
    r"(?:insufficient|not enough|no more|no|out of|lack of) (?:\S{1,20} )?(?:disk |storage |mail ?box |"
    r"memory )*(?:space|storage)(?! server)",
    r"no space left|too many messages (?:in|on) (?:the |this |his )?(?:mail|account)|"
    r"has too many messages|user is over|account is over|mailbox is over",
    r"storage (?:limit|quota|space) |out of (?:mailbox )?storage|mail ?box size limit",
    r"(?:boîte|boite)(?: \S{1,20}){0,3} (?:est )?pleine|espace disque|buz[oó]n(?: \S{1,20}){0,3} lleno|"
    r"casella(?: \S{1,20}){0,3} piena|postfach(?: \S{1,20}){0,3} voll|speicherplatz|"
    r"skrzynk\S{1,3}(?: \S{1,20}){0,3} (?:pełna|przepełniona)|ящик(?: \S{1,20}){0,3} переполнен|"
    r"容量|空き容量|メールボックスが一杯|邮箱已满|郵箱已滿|box is vol",
)
GREYLISTED = _any(
    r"gr[ea]y-?list",
    r"please (?:try|retry) (?:again |your (?:mail|message) )?(?:later|in \d)",
)
UNREACHABLE = _any(
    r"connection (?:timed out|refused|reset|was refused|dropped|lost|closed|failed|attempt fail)",
    r"lost connection|no route to host|network (?:is )?unreachable|host (?:is )?(?:unreachable|down)",
    r"operation timed out|timed out while|time-?out (?:while|wait|occurred)|conversation with \S{1,80} timed",
    r"(?:could not|couldn't|cannot|can't|can not|unable to|failed to) (?:connect|establish|contact|reach)",
    r"(?:retry|delivery) time(?:out)? (?:has |was )?(?:expired|exceeded|not reached)|retry timeout|"
    r"message (?:timed out|expired|timeout)|delivery expired|maximum (?:queue|retry)|"
    r"(?:been|was|remained) (?:in|on) the queue|too long in|unable to deliver \S{1,20} for \S{1,9} days",
    r"(?:server|host|mailer|exchanger|mta)s? (?:\S{1,60} )?(?:is |are |was )?(?:not respond|did not respond|"
    r"unreachable|not reachable|not answer|inaccessible|down\b)",
    r"aborted after|wasn't able to establish|greeting failed|dns (?:soft|lookup) (?:error|failure)|no answer from host",
    r"temporar\S{1,4} (?:failure|error|problem|lookup|resolution|unable)|try again later|servfail",
)
NETWORK = _any(
    UNREACHABLE.pattern,
    r"timed? ?out|expired|delay|retry|retries|unable to deliver|temporar|deferred|queue",
)
TEMPORARY = _any(r"temporar|try again|servfail|timed out|time-?out|deferred|not currently accept")

SENDER_REFUSED = _any(
    r"(?:sender|from|envelope sender|return.?path|originator)(?:'s)? (?:e-?mail )?(?:address|domain|account)?"
    r"(?:[: ]+<?[^ ]{1,100})? ?(?:is |was |has been |are )*(?:rejected|refused|denied|blocked|banned|invalid|"
    r"not allowed|not accepted|not valid|unverified|verif\S{1,9} fail|not verified|unknown|doesn't|does not|"
    r"not exist)",
    r"(?:domain|address) of (?:the )?sender|sender (?:address )?verif|verify (?:the |your )?sender|sender was rej",
    r"could not verify sender|cannot resolve your|(?:your|sender) domain (?:does not|doesn't|is not|could not|"
    r"can't|cannot)|sender does not|not (?:accept|allow)\S{0,3} (?:mail|messages) from (?:you|this|your)",
)
RELAY_DENIED = _any(
    r"relay(?:ing)? (?:access |mail )?(?:is |was |has been )?(?:denied|prohibited|not (?:allowed|permitted)|"
    r"disabled|refused|forbidden|blocked)",
    r"(?:unable|not permitted|not allowed|not authori[sz]ed|refus\S{1,4}|cannot|can't|won't|don't|do not|not "
    r"setup|no permission|permission) (?:to |through this server to )?relay",
    r"not (?:a|an open|the) relay|no relaying|authentic\S{1,6} to relay|relay not|list of allowed rcpthosts|"
    r"not in my rcpthosts|rcpthosts|we do not relay|not gateway|no third.?party|relaying (?:mail )?(?:to|from)",
)

USER_UNKNOWN = _any(
    r"\b(?:no|not a|not our|unknown|invalid|non-?exist[ea]nt|illegal|bad|unrecogni[sz]ed|undefined|"
    r"inexistent|no (?:local|valid|known)|not a (?:valid|known|local|registered)) (?:such |or \S{1,20} |"
    r"local |e-?mail |destination |mail |virtual |to |remote )*"
    + _WHO
    + r"\b(?! suppl| of sender| list full)",
    r"\bno such (?:local |e-?mail |mail )?(?:" + _WHO + r"|name|id|drop|object|entry|virtual)",
    r"(?:user|recipient|addressee|mail ?box|account)s?(?: name| address| id)?[: _-]{0,3}(?:is |are )?"
    r"(?:unknown|not[ _-]?found|doesn'?t exist|non-?exist|unbekannt|inexist)",
    _WHO
    + r"(?: name| address| id)?"
    + _GAP
    + r" (?:was not found|not found|could ?n[o']t be found|"
    r"(?:does|did) ?n[o']t? exist|doesn't exist|do not exist|cannot be found|can't be found|could not be found|"
    r"is not (?:known|recogni[sz]ed|valid|a valid|found|listed|registered|local|correct|on this|in our|defined)|"
    r"isn't (?:known|valid|registered)|not (?:known|recogni[sz]ed|listed in|registered|exist)|"
    r"is unknown|is invalid|no longer (?:exist|valid|on |with|here|in use|employed|at|accepts|in service|used)|"
    r"has (?:been )?(?:deleted|removed|moved|left)|was (?:deleted|removed)|is non-?existent|nonexistent|"
    r"unknown|unrecogni[sz]ed|inexist)(?! sender)",
    r"(?:doesn't|does not|don't|do not|didn't) have an? (?:\S{1,80} ){0,4}?(?:account|mail ?box|user|address)",
    r"\bno (?:mail ?box|account|user) (?:here |found |exists |by |with |named |for |on |in )|there is no (?:one|user|"
    r"such|account|mail ?box)|nobody here|no one (?:here )?(?:by|with) (?:that|this)",
    r"recipnotfound|recipientnotfound|invalidrecipient|badrecipient|adr\.invalid",
    r"not (?:listed |found |present )?in (?:the )?(?:domino|public name|directory|(?:global )?address (?:book|list))|"
    r"(?:unable to|cannot|can't|could not) (?:find|locate|verify|resolve) (?:the |this |a |an |any )?"
    + _WHO,
    r"not an? (?:active|valid|existing) (?:e-?mail )?(?:address|account|mail ?box|user)|did not (?:exactly )?match|"
    r"no match(?:es|ing)? (?:to|for|found|user)|not have a final e-?mail|"
    r"is not (?:a|one of our) (?:\S{1,60} )?(?:user|customer|subscriber)|is not a member|not my user|not a user",
    r"(?:address|user|recipient|mail ?box|account)(?: you)?(?: entered)?(?: that)?(?: you)? (?:tried to reach|"
    r"specified|entered|typed) (?:is |was |does |do |could )not|who (?:are you|is) (?:looking|that)",
    r"(?:address|recipient|user)(?: \S{1,80})? (?:wasn't|was not|isn't) found|verification failed for <|"
    r"undeliverable address|unknown address|address unknown|unknown in (?:virtual|local|relay)|unknown local-part",
    r"mail ?box (?:\S{1,60} )?(?:not found|unknown|invalid|does not|is not)|invalid (?:final|address)",
    r"utilisateur (?:\S{1,40} )?(?:inconnu|inexistant)|destinataire inconnu|adresse (?:\S{1,30} )?(?:inconnue|"
    r"introuvable|inexistante)|n'existe pas|usuario (?:\S{1,40} )?(?:desconocido|no existe|inexistente)|"
    r"(?:cuenta|direcci[oó]n|buz[oó]n|usu[aá]rio|conta|destinat[aá]rio)(?: \S{1,80}){0,4} (?:no|n[aã]o) existe|"
    r"utente (?:\S{1,40} )?(?:sconosciuto|inesistente)|indirizzo (?:\S{1,40} )?(?:inesistente|sconosciuto)|"
    r"(?:empf[aä]nger|benutzer|adresse|postfach)(?: \S{1,80}){0,4} (?:unbekannt|existiert nicht|nicht gefunden)|"
    r"(?:unbekannte|ung[uü]ltige)\S? (?:empf[aä]nger|benutzer|adresse)|onbekende gebruiker|gebruiker onbekend",
    r"(?:konto|adres|u[zż]ytkownik\S{0,2})(?: \S{1,60}){0,4} nie istnieje|nie ma takiego|nieznany u[zż]ytkownik|"
    r"(?:пользовател|адрес|ящик)\S{0,3}(?: \S{1,60}){0,4} не (?:существует|найден)|нет такого|"
    r"見つかりません|存在しません|该用户不存在|用户不存在|不存在|无此用户|존재하지",
)
# Said beside other possible reasons, it is no evidence.
MAYBE_UNKNOWN = _any(
    r"(?:possibl[ey]|may|might|could|perhaps|probably|typical|common|some)(?: \S{1,30}){0,6}? reasons?|"
    r"(?:may|might) (?:be|have been|not) (?:\S{1,20} ){0,2}(?:unknown|invalid|exist|misspelled|full)",
)
DISABLED = _any(
    _WHO
    + r"(?: \S{1,80}){0,5}? (?:is |has been |was |been |currently |now |has |are )*(?:disabled|inactive|"
    r"de-?activated|suspended|closed|locked|terminated|cancel+ed|discontinued|not (?:active|enabled)|frozen|"
    r"no longer (?:active|available|monitored)|out of service|abandoned|expired|archived|retired)",
    r"\b(?:disabled|inactive|deactivated|suspended|closed|expired|terminated|locked|dormant) "
    + _WHO,
    r"account.?(?:disabled|inactive|suspended)|mailbox (?:is )?disabled|has been disabled|konto gesperrt|"
    r"user (?:is )?(?:disabled|inactive|suspended)|compte (?:désactivé|suspendu|bloqué)",
)
HOST_UNKNOWN = _any(
    r"host ?(?:name)? ?(?:is )?(?:unknown|not found|does not exist)|unknown host|host or domain name not found",
    r"(?:mail |recipient |destination |target )?domain(?: name)?(?: \S{1,80})? (?:does not exist|doesn't exist|"
    r"not found|is unknown|unknown|is not valid|could not be found|couldn't be found|not exist|is invalid|"
    r"non-?existent)",
    r"no such (?:host|domain)|(?:unknown|invalid|bad|non-?existent|illegal) (?:mail |host|destination |recipient |"
    r"e-?mail )*(?:domain|host|system address|host/domain)|nxdomain|no (?:mx|a|dns)(?: or a)? records?",
    r"unrouteable (?:mail )?(?:domain|address)|host lookups? failed permanently|mx records point to non-?exist|"
    r"couldn't find (?:any|a) (?:host|mail exchanger)|could not find a gateway|not (?:a )?known (?:host|domain)|"
    r"dns hard error|no mail ?(?:server|host|exchanger)s? (?:for|found|could)|can't find (?:the )?domain|"
    r"bad destination (?:host|system)|recipient domain|domain (?:wasn't|isn't) found|data record of requested|"
    r"lookup\S{0,2} failed(?: \S{1,30}){0,3} permanently|name or service not known",
)
NO_SUCH_DOMAIN = _any(r"\bnxdomain\b")
NULL_MX = _any(
    r"null ?mx|no smtp service|(?:does not|doesn't|never) accepts? (?:e-?mail|any mail|mail)(?! from)|"
    r"does not receive (?:e-?)?mail|domain (?:does not|doesn't) (?:accept|receive)|seem to reject all mails"
)

REFUSED = _any(
    r"\bspam|anti-?spam|junk ?(?:mail|filter)|unsolicited|black-?\s?list|block-?\s?list|white-?list|\brbl|dnsbl|"
    r"surbl|\buribl|\bspf\b|\bdkim|dmarc|spamhaus|spamcop|\bsorbs|barracuda|senderbase|"
    r"reputation|bulk (?:e-?)?mail|trustwave|mail abuse|abusive|\bphish|"
    r"(?:security|local|site|content|company|e-?mail|mail|message|organi[sz]ation\S{0,4}|administrative|"
    r"usage|server|group|transport|delivery|our|acceptance) (?:policy|policies|restriction|prohibition)",
    r"policy (?:violat|reason|reject|restrict|prohib|block|filter|rule)|polic(?:y|ies)\b(?= on | for | at )|"
    r"violat\S{1,4} (?:\S{1,20} ){0,2}polic|for policy reasons|due to (?:\S{1,20} ){0,2}polic",
    r"(?:ip|address|host|server|domain|connection|mail|message|sender|network|client|you)s?(?: \S{1,60}){0,4}? "
    r"(?:is|was|are|been|has|were|temporarily|being|currently)? ?(?:blocked|banned|block-?listed|denied access|"
    r"listed (?:at|in|by|on))",
    r"blocked (?:by|using|for|due|because|at|as|from|mail|-)|\bblocked\b.{0,40}\b(?:see|http)|listed (?:at|by|in) "
    r"(?:the )?\S{0,20}(?:rbl|bl|spam|list|http)|access denied\S{0,3} (?:- invalid|by|bad|your)|"
    r"reverse (?:dns|lookup|name)|\brdns|ptr record|dynamic ip|\bhelo\b.{0,30}(?:invalid|bogus|reject|denied|name)|"
    r"virus|malware|trojan|infected|worm\b",
    r"(?:authentication|authori[sz]ation|auth) (?:is )?(?:required|failed|fails|check|needed)|unauthenticated|"
    r"not authenticated|must (?:be )?authenticat|client was not auth|not authori[sz]ed|unauthori[sz]ed|"
    r"not permitted|not allowed|isn't allowed|permission denied|permission to|prohibited|forbidden|restricted|"
    r"\((?:con|rly|dyn|dns|hvu|rtr|snd|cnt):[a-z]{1,3}\d?\)|refused by|rejected by (?:our |your |an? |filter|content|system|user|recipient|mail|server)|"
    r"administrative|do not have permission|only accepts|must be (?:a )?member|too many (?:connections|spam|"
    r"recipients|messages from|bounces|errors)|rate.?limit|throttl|sending limit|sending rate|too (?:fast|"
    r"frequent)|challenge|bounce ?me|suspicious|looks like|hijack|open proxy|open relay|"
    r"(?:message|mail|content|e-?mail)(?: \S{1,30}){0,3} (?:filter|scanner)|filtered|"
    r"message (?:was |has been |is )*(?:discarded|quarantined|blocked)|high(?:ly)? probability|score",
)
# Which refusals are about the sender: its host, its reputation, its proofs, its pace.
SENDER_LISTED = _any(
    r"black-?\s?list|block-?\s?list|\brbl|dnsbl|spamhaus|spamcop|\bsorbs|barracuda|senderbase|senderscore|"
    r"reputation|open (?:proxy|relay)|dynamic ip|banned send(?:er|ing)|\((?:cnt|con|dyn|rly):[a-z]{1,3}\d?\)",
    r"(?:your|sending|sender'?s?|client|source|originating|connecting) (?:\S{1,20} )?(?:ip|host|server|network|"
    r"mta)\b|\bips?(?: address\S{0,2})?(?: \S{1,60}){0,3}? (?:is|was|are|been|has|temporarily)? ?(?:blocked|"
    r"banned|listed|rejected|refused|denied)",
)
SENDER_UNPROVEN = _any(
    r"\bspf\b|\bdkim|dmarc|reverse (?:dns|lookup|name)|\brdns|ptr record|unauthenticated (?:e-?mail|sender)"
)
SENDER_TOO_FAST = _any(
    r"unusual (?:rate|volume|amount|number)|too many (?:connections|messages from|spam|bounces)|"
    r"(?:sending|message|mail) (?:rate|limit|quota)|rate.?limit|throttl|too (?:fast|frequent)"
)
# Holds where nothing says "refused": used as the exception to a refusal.
NO_REFUSAL = re.compile(rf"\A(?!.*(?:{REFUSED.pattern}))", re.DOTALL)
CONTENT = _any(
    r"(?:message|mail|content|e-?mail|data)s? (?:was |is |has been |are |were |not )*(?:reject|refus|denied|"
    r"unacceptable|not accepted)|content reject|(?:with|by|this|illegal|banned|forbidden) attachment|attachments? "
    r"(?:\S{1,20} )?(?:is|are|was|not|type|block|remov|reject)|bare lf|illegal (?:character|header)|"
    r"(?:message|header) (?:format|syntax) error|not accepting (?:mail|messages)|syntax error in (?:header|message)",
)
DENIED = _any(
    r"access denied|denied|refuse[sd]?\b|reject(?:s|ed)?\b|blocked|unacceptable|not accepted|go away|"
    r"does not (?:wish|want)|unwanted"
)
TOO_BIG = _any(
    r"(?:message|mail|size|body|attachment|letter|e-?mail)s?(?: \S{1,40}){0,5}? (?:too (?:big|large|long)|"
    r"exceed\S{0,3}(?: \S{1,30}){0,5} (?:size|limit|length|maximum|bytes|[km]b\b))",
    r"(?:exceed\S{0,3}|over|above|larger than)(?: \S{1,30}){0,4} (?:message|mail|maximum|max)(?: \S{1,20})? "
    r"(?:size|length)|message size|max(?:imum)? (?:message|mail|allowed|file)(?: \S{1,20})? size|"
    r"size limit exceed|too (?:large|big)\b|msg\S{0,6} too",
)
SYSTEM = _any(
    r"loop|too many hops|hop count|hops exceeded|internal (?:server )?error|i/o error|system error|local error|"
    r"configuration (?:error|problem)|cannot (?:open|create|lock|write|append)|can't (?:open|create|lock|write)|"
    r"could not (?:open|create|lock|write|complete)|unknown mailer error|(?:delivery|exit) status|child (?:status|"
    r"process)|pipe|signal \d|crash|out of memory|resources|service (?:not available|unavailable|is not)|"
    r"system (?:not|is not|unavail)|busy|not ready|temporar|try again|\blater\b|command (?:not|un)|protocol|"
    r"bad sequence|starttls|\btls\b|certificate|procmail|maildir|forward file|database|lookup|ldap",
)
MAILBOX_UNAVAILABLE = _any(
    r"mail ?box (?:\S{1,60} )?(?:is )?(?:unavailable|not available)|requested action not taken: mailbox",
)
