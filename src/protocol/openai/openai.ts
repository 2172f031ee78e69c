/**
 * The dialect of OpenAI's API, which vLLM, SGLang, TGI, llama.cpp and Ollama have as well. The body names the model. What a call
 * is for is told by its path (`target.ts`), and each such operation is read and kept by rules of its own (`operations.ts`);
 * everything else is passed on.
 */
import type { Plan, Protocol } from '../protocol.ts'
import { compareAnswers } from './compare.ts'
import { fault } from './fault.ts'
import { generation } from './generation/generation.ts'
import { itemsAgree } from './items.ts'
import { listing } from './listing.ts'
import { namedModel, namedModelSteps } from './model.ts'
import { type OperationRows, operationOf } from './operation.ts'
import { operationFor } from './operations.ts'
import { promptPrefix } from './prefix.ts'
import { openaiTarget, openaiTargetByPath } from './target.ts'
import { tokens } from './tokens.ts'

/** OpenAI's own bound, which others have taken over. */
const MAX_INPUTS = 2048

export const openai: Protocol = {
  name: 'openai',
  encodings: ['application/json'],
  match: openaiTarget,
  model: namedModel,
  modelChunks: namedModelSteps,
  read: (call, body, options) => operationFor(call.target).read(call, body, options),
  readChunks: (call, body, options) => operationFor(call.target).readChunks(call, body, options),
  address(reply, call, plan, origin) {
    const operation = plan ? operationOf(plan) : operationFor(call.target)
    return operation.address ? operation.address(reply, call, plan, origin) : reply
  },
  storable: (reply, body, plan, counted) =>
    operationOf(plan).storable?.(reply, body, plan, counted) ?? reply.status === 200,
  // Of vLLM and SGLang, and of sse-starlette, which llama-cpp-python and many others stream by.
  streamHabits: ['Cache-Control', 'no-cache', 'Cache-Control', 'no-store'],
  compare: compareAnswers,
  listing,
  passesUpgrades: true,
  prefix: promptPrefix,
  fault,
  generation,
  tokens,
  rows: {
    most: MAX_INPUTS,
    join: (plan, rows, body) => rowsOf(plan).join(plan, rows, body),
    cut: (reply, body, count, asked) => asked && rowsOf(asked).cut(reply, body, count, asked),
    agree: itemsAgree,
    assemble: (plan, answers, isSameForm) => rowsOf(plan).assemble(plan, answers, isSameForm),
  },
}

function rowsOf(of: Pick<Plan, 'common'>): OperationRows {
  const { rows } = operationOf(of)
  if (!rows) throw new Error('the plan has no rows')
  return rows
}

/** For `auto`: what is not unmistakably of this API is left to others. */
export const openaiByPath: Protocol = { ...openai, match: openaiTargetByPath }
