/**
 * Answers that are sent as they happen: events, lines of a generation, frames of a camera. Whoever waited for their end would
 * wait for what the caller wanted at once, or for ever, so they are passed on as they come and not kept.
 */
import { headerAll } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import type { Protocol } from '../../protocol/protocol.ts'

const TYPES = new Set([
  'application/connect+json',
  'application/connect+proto',
  'application/json-seq',
  'application/json-stream',
  'application/jsonl',
  'application/jsonlines',
  'application/ndjson',
  'application/stream+json',
  'application/x-json-stream',
  'application/x-jsonlines',
  'application/x-ndjson',
  'multipart/mixed',
  'multipart/x-mixed-replace',
  'text/event-stream',
])

/** By the dialect's own word, or by the media type; that is told once a head. */
export function isStreamed(reply: Reply, protocol?: Pick<Protocol, 'isStream'>): boolean {
  if (protocol?.isStream) return protocol.isStream(reply)
  const { headers, notes = {} } = reply
  notes.isStream ??= headerAll(headers, 'content-type').some(isStream) || isUnbuffered(headers)
  return notes.isStream
}

function isStream(field: string): boolean {
  const type = field.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  // gRPC, also in its forms for browsers, is a stream whatever it calls.
  return TYPES.has(type) || type.startsWith('application/grpc')
}

/** nginx's word for an answer that must not be held back, which many frameworks send. */
function isUnbuffered(headers: Reply['headers']): boolean {
  return headerAll(headers, 'x-accel-buffering').some((value) => /^no$/i.test(value))
}
