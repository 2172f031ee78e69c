/** Compares the answers of two servers to one call, by the dialect's tolerance. */
import { header } from '../core/call.ts'
import type { Reply } from '../core/reply.ts'
import type { ComparedReply, Difference } from './difference.ts'
import { compareJson } from './json/compare.ts'
import type { Protocol } from './protocol.ts'
import { verdictOf } from './verdict.ts'

/** How they differ, with pauses; undefined: they agree. Refusals agree where they are of one kind, whatever their words. */
export function* compareReplies(
  protocol: Pick<Protocol, 'verdict' | 'compare'>,
  a: ComparedReply,
  b: ComparedReply,
): Generator<void, Difference | undefined> {
  const [left, right] = [verdictOf(protocol, a), verdictOf(protocol, b)]
  if (left.code !== right.code) return { what: 'status' }
  if (left.kind === 'refused' || Buffer.compare(a.body, b.body) === 0) return undefined
  if (protocol.compare) return yield* protocol.compare(a, b)
  return yield* compareBodies(a, b)
}

/** By the media type alone. */
function* compareBodies(a: ComparedReply, b: ComparedReply): Generator<void, Difference | undefined> {
  if (isJson(a) && isJson(b)) return yield* compareJson(a.body, b.body)
  return { what: 'text' }
}

function isJson({ headers }: Reply): boolean {
  return /^application\/(?:[\w.-]+\+)?json\b/i.test(header(headers, 'content-type') ?? '')
}
