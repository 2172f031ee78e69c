/**
 * The dialect of OpenAI's API, which vLLM, SGLang, TGI, llama.cpp and Ollama have as well. The body names the model. What a call
 * is for is told by its path (`target.ts`), and each such operation is read and kept by rules of its own (`operations.ts`);
 * everything else is passed on.
 */
import type { Protocol } from '../protocol.ts'
import { fault } from './fault.ts'
import { namedModel, namedModelSteps } from './model.ts'
import { operationOf } from './operation.ts'
import { operationFor } from './operations.ts'
import { promptPrefix } from './prefix.ts'
import { openaiTarget, openaiTargetByPath } from './target.ts'

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
  prefix: promptPrefix,
  fault,
}

/** For `auto`: what is not unmistakably of this API is left to others. */
export const openaiByPath: Protocol = { ...openai, match: openaiTargetByPath }
