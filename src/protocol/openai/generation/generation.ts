/**
 * Chats, text completions and responses: which of their answers are kept (`rules.ts`), and how one kept answer is given to all
 * who ask for the same, as events or in one piece (`answer.ts`).
 */
import type { GatewayError } from '../../../core/errors.ts'
import type { AnswerPreferences, Generation, Plan, Reading } from '../../protocol.ts'
import { fault } from '../fault.ts'
import type { ApiOperation, OpenaiNotes } from '../operation.ts'
import { generationFor, isKeepable } from './answer.ts'
import { StreamFollower } from './follower.ts'
import { type GenerationNotes, type ReadGenerationOptions, readGeneration, spliced } from './request.ts'
import type { GenerationKind } from './rules.ts'
import { tokensIn } from './usage.ts'

interface Notes extends GenerationNotes, OpenaiNotes {}

export function generationOf(kind: GenerationKind): ApiOperation {
  const operation: ApiOperation = {
    read: (_call, body, options) => read(body, options),
    // What makes a body so long lies in the middle of it, in images, and all of it is under the rules.
    *readChunks() {
      yield
      return { bypass: 'long body' }
    },
    address(reply, call, plan, origin) {
      const notes = plan ? notesOf(plan) : notesFrom(call)
      return notes && generationFor(reply, notes, origin)
    },
    storable: (reply, body, plan) => isKeepable(reply, body, notesOf(plan)),
  }
  return operation

  function read(body: Uint8Array, options: ReadGenerationOptions): Reading {
    const reading = readGeneration(kind, body, options)
    return 'bypass' in reading ? reading : { ...reading, common: { ...notesOf(reading), operation } }
  }

  /** Of a call that has been kept before, which by then had been read. */
  function notesFrom({ body }: AnswerPreferences): GenerationNotes | undefined {
    const reading = body instanceof Uint8Array ? read(body, ANY) : undefined
    return reading && !('bypass' in reading) ? notesOf(reading) : undefined
  }
}

/** Only the notes are asked for. */
const ANY: ReadGenerationOptions = { seed: '' as ReadGenerationOptions['seed'], keepsSampled: true }

function notesOf({ common }: Pick<Plan, 'common'>): Notes {
  return common as Notes
}

export const generation: Generation = {
  request(plan, body) {
    const { usage } = notesOf(plan)
    return usage ? spliced(body, usage) : body
  },
  follow: (plan) => new StreamFollower(notesOf(plan)),
  failure: (error, plan) =>
    Buffer.from(notesOf(plan).kind === 'responses' ? ofResponse(error) : ofChat(error)),
  tokens: ({ body }) => (body instanceof Uint8Array ? tokensIn(body) : undefined),
}

function ofChat(error: GatewayError): string {
  return `data: ${textOf(error)}\n\n`
}

function ofResponse(error: GatewayError): string {
  const { error: said } = JSON.parse(textOf(error)) as {
    error: { message: string; code: string; param: unknown }
  }
  const { code, message, param } = said
  return `event: error\ndata: ${JSON.stringify({ type: 'error', code, message, param })}\n\n`
}

function textOf(error: GatewayError): string {
  return Buffer.from(fault(error).body as Uint8Array).toString()
}
