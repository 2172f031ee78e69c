/** Embeddings: kept by the input, and given in the encoding that each caller wants. */
import type { Plan } from '../../protocol.ts'
import type { ApiOperation } from '../operation.ts'
import { encodingOf, hasNumbers, readAnswer } from './answer.ts'
import {
  type EmbeddingsNotes,
  joinInputs,
  readEmbeddings,
  readEmbeddingsChunks,
  wantedEncoding,
} from './request.ts'
import { assembleEmbeddings, cutEmbeddings, recoded } from './rows.ts'

export const embeddings: ApiOperation = {
  read: (call, body, options) => readEmbeddings(embeddings, call, body, options),
  readChunks: (call, body, options) => readEmbeddingsChunks(embeddings, call, body, options),
  /** An answer comes in the encoding that was asked for, unless its server knows but one. */
  address(reply, { body }, plan) {
    if (reply.status !== 200 || !(reply.body instanceof Uint8Array)) return reply
    const asked = plan
      ? notesOf(plan).encoding
      : body instanceof Uint8Array
        ? wantedEncoding(body)
        : undefined
    if (asked === undefined || encodingOf(reply.body) === asked) return reply
    return recoded(reply, reply.body, asked)
  },
  storable(reply, body, plan, counted) {
    const items = reply.status === 200 ? readAnswer(body)?.items : undefined
    const { count, encoding } = notesOf(plan)
    if (!items || (counted && count !== undefined && items.length !== count)) return false
    return encoding === undefined || items.every(({ embedding }) => hasNumbers(body, embedding))
  },
  rows: {
    join(plan, rows, body) {
      const { input } = notesOf(plan)
      if (!input || !(body instanceof Uint8Array)) throw new Error('join: the plan has no rows')
      return { headers: [], body: joinInputs(input, rows, body) }
    },
    cut: (reply, body, count, asked) => cutEmbeddings(reply, body, count, asked?.rows),
    assemble: (plan, answers) => assembleEmbeddings(answers, notesOf(plan).encoding ?? 'float'),
  },
}

function notesOf({ common }: Pick<Plan, 'common'>): EmbeddingsNotes {
  return common as EmbeddingsNotes
}
