// The HTTP peer: fastify in front of BullMQ. /o/:token and /c/:token/:link count, POST /v1/emails
// validates, checks the key, stores the mail and queues it.
import crypto from 'node:crypto';
import { Queue } from 'bullmq';
import Fastify from 'fastify';
import pg from 'pg';
import {
  PG, PREFIX, QUEUE, TRACKING_QUEUE, readToken, redis, token,
} from './settings.mjs';

const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64');
const LINK = 'https://www.example.com/report/2026/spring/overview';
const app = Fastify({
  logger: false, bodyLimit: 50e6, routerOptions: { maxParamLength: 4000 }, forceCloseConnections: true,
});
const tracking = new Queue(TRACKING_QUEUE, { connection: redis(), prefix: PREFIX });
const sending = new Queue(QUEUE, { connection: redis(), prefix: PREFIX });
const pool = new pg.Pool({ ...PG, max: 10 });
const queued = { removeOnComplete: true, attempts: 3 };

const hit = (kind, id, request) => tracking.add(
  kind, { kind, id, at: Date.now(), agent: request.headers['user-agent'], ip: request.ip }, queued,
);

app.get('/o/:token', async (request, reply) => {
  const id = readToken(request.params.token);
  if (id !== null) await hit('open', id, request);
  return reply.header('cache-control', 'no-store, private').type('image/gif').send(GIF);
});

app.get('/c/:token/:link', async (request, reply) => {
  const id = readToken(request.params.token);
  if (id === null) return reply.code(404).send();
  await hit('click', id, request);
  return reply.redirect(LINK, 302);
});

const address = {
  type: 'object',
  required: ['email'],
  properties: {
    email: { type: 'string', pattern: '^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$', maxLength: 320 },
    name: { type: 'string' },
  },
};
const schema = {
  body: {
    type: 'object',
    required: ['from', 'to', 'subject'],
    properties: {
      from: address,
      to: { type: 'array', items: address, minItems: 1, maxItems: 50 },
      subject: { type: 'string', minLength: 1, maxLength: 998 },
      html: { type: 'string' },
      text: { type: 'string' },
      queue: { type: 'string' },
      metadata: { type: 'object' },
      personalizations: { type: 'object' },
    },
  },
};
const keys = new Map();

async function tenantOf(header) {
  if (!keys.has(header)) {
    const hash = crypto.createHash('sha256').update(header.slice(7)).digest();
    const { rows } = await pool.query('SELECT app_id FROM api_keys WHERE key_hash = $1', [hash]);
    if (!rows.length) return null;
    keys.set(header, rows[0].app_id);
  }
  return keys.get(header);
}

const INSERT = `INSERT INTO emails (tenant_id, campaign_id, template_id, account_id, to_address,
  variables) VALUES ($1, 9, 1, 1, $2, $3) RETURNING id`;

app.post('/v1/emails', { schema }, async (request, reply) => {
  const tenant = await tenantOf(request.headers.authorization || '');
  if (tenant === null) return reply.code(401).send({ error: 'unauthorized' });
  const { subject, html, text, to, personalizations } = request.body;
  const variables = JSON.stringify({ subject, html, text, ...personalizations });
  const values = [tenant, to[0].email, variables];
  const { rows } = await pool.query({ name: 'insert', text: INSERT, values });
  const options = { attempts: 5, removeOnComplete: true, jobId: `e${rows[0].id}` };
  await sending.add('send', { emailId: rows[0].id }, options);
  return reply.code(202).send({ id: rows[0].id, status: 'queued' });
});

await tracking.waitUntilReady();
await tracking.obliterate({ force: true });
await sending.obliterate({ force: true });
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 1024 });
console.log(`ready ${token(5)}`);
process.stdin.on('data', async () => console.log(`waiting ${await tracking.getWaitingCount()}`));
process.stdin.once('end', () => process.exit(0));
