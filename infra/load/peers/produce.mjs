// The scheduler: reads what is due and adds one BullMQ job per mail, in bulk. Starts at a line on stdin.
import { Queue } from 'bullmq';
import pg from 'pg';
import { PG, PREFIX, QUEUE, redis } from './settings.mjs';

const BLOCK = 500;
const options = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 30000 },
  removeOnComplete: true,
};

const queue = new Queue(QUEUE, { connection: redis(), prefix: PREFIX });
const pool = new pg.Pool({ ...PG, max: 1 });
await queue.waitUntilReady();
await queue.obliterate({ force: true });
await pool.query('SELECT 1');
console.log('ready');
await new Promise((go) => process.stdin.once('data', go));

const { rows } = await pool.query(
  "SELECT id, tenant_id, campaign_id FROM emails WHERE status = 'queued' ORDER BY id",
);
for (let start = 0; start < rows.length; start += BLOCK) {
  await queue.addBulk(
    rows.slice(start, start + BLOCK).map((row) => ({
      name: 'send',
      data: { emailId: row.id, tenantId: row.tenant_id, campaignId: row.campaign_id },
      opts: { ...options, jobId: `e${row.id}` },
    })),
  );
}
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
