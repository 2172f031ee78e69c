/** Calls that are kept as wholes: tokenization, which is a function of its text and the model. */
import type { Call } from '../../core/call.ts'
import type { Chunks } from '../../core/chunks.ts'
import { membersDigest, objectDigest } from '../json/document.ts'
import { Cursor } from '../json/scan.ts'
import { streamMembers } from '../json/steps.ts'
import type { Reading, ReadOptions } from '../protocol.ts'
import { callPrefix, isDelivery, latin1, readMembers, unreadable } from './members.ts'
import type { ApiOperation, OpenaiNotes } from './operation.ts'

export const tokenization: ApiOperation = {
  read(call, body, { seed }) {
    const members = unreadable(call) ?? readMembers(body)
    if ('bypass' in members) return members
    const covered = members.filter(({ key }) => !isDelivery(key))
    const whole = membersDigest(callPrefix(call, seed), body, covered)
    return typeof whole === 'string' ? { whole, common: NOTES } : { bypass: whole.problem }
  },
  readChunks: (call, body, options) => wholeSteps(call, body, { ...options, common: NOTES }),
  storable: (reply, body) => reply.status === 200 && isAnswer(body),
}

const NOTES: OpenaiNotes = { operation: tokenization }

/** The key of a long body, in steps. */
export function* wholeSteps(
  call: Call,
  body: Chunks,
  { seed, common }: Pick<ReadOptions, 'seed'> & { readonly common: OpenaiNotes },
): Generator<void, Reading> {
  const bypass = unreadable(call)
  if (bypass) return bypass
  const prefix = callPrefix(call, seed)
  const members = yield* streamMembers(body.pieces(), prefix)
  if ('problem' in members) return { bypass: members.problem }
  for (const key of members.keys()) if (isDelivery(key)) members.delete(key)
  return { whole: objectDigest(prefix, members), common }
}

/** Whether a 200 has an object to its end, and reports no error in it. */
export function isAnswer(body: Uint8Array): boolean {
  const cursor = new Cursor(body)
  let count = 0
  const read = cursor.members((key) => {
    const start = (cursor.peek(), cursor.pos)
    count++
    return cursor.skip() && (key !== 'error' || latin1(body, start, cursor.pos) === 'null')
  })
  return read && cursor.finish() && count > 0
}
