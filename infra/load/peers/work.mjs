// The sender: one BullMQ job per mail; Nodemailer's pool; one round trip for outcome and event.
import { Worker } from 'bullmq';
import nodemailer from 'nodemailer';
import pg from 'pg';
import { PG, PREFIX, QUEUE, compile, compileTracked, redis, token } from './settings.mjs';

const CONCURRENCY = 50;
const CONNECTIONS = 8;
const pool = new pg.Pool({ ...PG, max: 20 });
const transports = new Map();
const cache = new Map();

function transport(account) {
  const where = `${account.host}:${account.port}`;
  if (!transports.has(where)) {
    const { host, port } = account;
    const options = { host, port, pool: true, maxConnections: CONNECTIONS, ignoreTLS: true };
    transports.set(where, nodemailer.createTransport({ ...options, maxMessages: Infinity }));
  }
  return transports.get(where);
}

function cached(name, make) {
  if (!cache.has(name)) cache.set(name, make());
  return cache.get(name);
}

async function template(id) {
  const { rows } = await pool.query('SELECT * FROM templates WHERE id = $1', [id]);
  const { subject, html, body_text: text } = rows[0];
  return { subject: compile(subject), html: compileTracked(html), text: compile(text) };
}

async function account(id) {
  return (await pool.query('SELECT * FROM accounts WHERE id = $1', [id])).rows[0];
}

const GET = `SELECT id, status, to_address, variables, template_id, account_id
  FROM emails WHERE id = $1`;
const DONE = `WITH done AS (
    UPDATE emails SET status = 'sent', sent_at = now(), attempts = attempts + 1, message_id = $2
    WHERE id = $1 RETURNING id)
  INSERT INTO email_events (email_id, type) SELECT id, 'sent' FROM done`;

async function send(job) {
  const { rows } = await pool.query({ name: 'get', text: GET, values: [job.data.emailId] });
  const email = rows[0];
  if (!email || email.status === 'sent') return;
  const content = await cached(`t${email.template_id}`, () => template(email.template_id));
  const sender = await cached(`a${email.account_id}`, () => account(email.account_id));
  const signed = token(email.id);
  const variables = { ...email.variables, token: signed };
  const sent = await transport(sender).sendMail({
    from: { name: sender.name, address: sender.address },
    to: email.to_address,
    subject: content.subject(variables),
    text: content.text(variables),
    html: content.html(variables),
    headers: {
      'List-Unsubscribe': `<https://t.example.com/u/${signed}>`,
      'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
    },
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  await pool.query({ name: 'done', text: DONE, values: [email.id, sent.messageId] });
}

const options = { connection: redis(), prefix: PREFIX, concurrency: CONCURRENCY };
const worker = new Worker(QUEUE, send, options);
worker.on('failed', (job, error) => console.error('failed', error.message));
worker.on('error', (error) => console.error(error.message));
await worker.waitUntilReady();
await pool.query('SELECT 1');
console.log('ready');
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
