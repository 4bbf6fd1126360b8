// What all peers share: where the services are, and how they sign and personalise.
// Tuned as a good team would: links are rewritten once per template, one short HMAC per mail.
import crypto from 'node:crypto';
import { Redis } from 'ioredis';

// BullMQ wants a connection of its own for each queue and worker.
export const redis = () => new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
export const PREFIX = 'bench-peer';
export const PG = {
  connectionString: process.env.PEER_DATABASE_URL,
  options: '-c search_path=peer',
};
export const QUEUE = 'email-sending';
export const TRACKING_QUEUE = 'tracking';
const SECRET = '0123456789abcdef0123456789abcdef';
const TRACKING_URL = process.env.PEER_TRACKING_URL || 'https://t.example.com';

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escapeHtml = (text) => text.replace(/[&<>"']/g, (sign) => ENTITIES[sign]);

// A template as a function of its variables: split once at {{ name }}.
export function compile(source, isHtml) {
  const parts = source.split(/\{\{\s*([\w.]+)\s*\}\}/);
  return (variables) => {
    let out = parts[0];
    for (let i = 1; i < parts.length; i += 2) {
      const value = String(variables[parts[i]] ?? '');
      out += (isHtml ? escapeHtml(value) : value) + parts[i + 1];
    }
    return out;
  };
}

export function compileTracked(html) {
  let number = 0;
  const rewritten = html
    .replace(/href="(https?:\/\/[^"]+)"/g, () => `href="${TRACKING_URL}/c/{{token}}/${number++}"`)
    .replace('</body>', `<img src="${TRACKING_URL}/o/{{token}}" width="1" height="1"></body>`);
  return compile(rewritten, true);
}

const key = crypto.createSecretKey(Buffer.from(SECRET));
const tag = (payload) =>
  crypto.createHmac('sha256', key).update(payload).digest('base64url').slice(0, 22);

export function token(id) {
  const payload = Buffer.from(String(id)).toString('base64url');
  return `${payload}.${tag(payload)}`;
}

export function readToken(text) {
  const [payload, signature = ''] = text.split('.');
  const expected = Buffer.from(tag(payload));
  const given = Buffer.from(signature);
  if (given.length !== expected.length || !crypto.timingSafeEqual(given, expected)) return null;
  return Number(Buffer.from(payload, 'base64url').toString());
}
