/** The operations whose bodies name the model, by the verb of the target. */
import type { Target } from '../../core/call.ts'
import { embeddings } from './embeddings/embeddings.ts'
import { generationOf } from './generation/generation.ts'
import { type ApiOperation, passedOn } from './operation.ts'
import type { OperationName } from './target.ts'

const WHOLE = passedOn('not read')

const OPERATIONS: Readonly<Record<OperationName, ApiOperation>> = {
  embeddings,
  rerank: WHOLE,
  score: WHOLE,
  classify: WHOLE,
  pooling: WHOLE,
  tokenize: WHOLE,
  detokenize: WHOLE,
  chat: generationOf('chat'),
  completions: generationOf('completions'),
  responses: generationOf('responses'),
}

const OTHER = passedOn('not a prediction')

export function operationFor(target: Target | undefined): ApiOperation {
  return OPERATIONS[target?.verb as OperationName] ?? OTHER
}
