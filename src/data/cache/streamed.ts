/**
 * Recognises streamed answers: events, lines of a generation, frames of a camera. To wait for their end would hold back what
 * the caller wants at once, or last for ever, so they are passed on as they arrive and not stored.
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

/** Decided by the dialect where it can tell, else by the media type, once for each head. */
export function isStreamed(reply: Reply, protocol?: Pick<Protocol, 'isStream'>): boolean {
  const known = protocol?.isStream?.(reply)
  if (known !== undefined) return known
  const { headers, notes = {} } = reply
  notes.isStream ??= headerAll(headers, 'content-type').some(isStream) || isUnbuffered(headers)
  return notes.isStream
}

/** Whether it is a stream of server-sent events. */
export function isEventStream({ headers }: Reply): boolean {
  return headerAll(headers, 'content-type').some((field) => typeOf(field) === 'text/event-stream')
}

function isStream(field: string): boolean {
  const type = typeOf(field)
  // gRPC, its forms for browsers included, is a stream for every method.
  return TYPES.has(type) || type.startsWith('application/grpc')
}

function typeOf(field: string): string {
  return field.split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** `X-Accel-Buffering: no`, with which many frameworks tell nginx not to hold an answer back. */
function isUnbuffered(headers: Reply['headers']): boolean {
  return headerAll(headers, 'x-accel-buffering').some((value) => /^no$/i.test(value))
}
