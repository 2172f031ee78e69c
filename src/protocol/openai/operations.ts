/** The operations whose bodies name the model, by the verb of the target. */
import type { Target } from '../../core/call.ts'
import { embeddings } from './embeddings/embeddings.ts'
import { type ApiOperation, passedOn } from './operation.ts'
import type { OperationName } from './target.ts'

const GENERATION = passedOn('generation')
const WHOLE = passedOn('not read')

const OPERATIONS: Readonly<Record<OperationName, ApiOperation>> = {
  embeddings,
  rerank: WHOLE,
  score: WHOLE,
  classify: WHOLE,
  pooling: WHOLE,
  tokenize: WHOLE,
  detokenize: WHOLE,
  chat: GENERATION,
  completions: GENERATION,
  responses: GENERATION,
}

const OTHER = passedOn('not a prediction')

export function operationFor(target: Target | undefined): ApiOperation {
  return OPERATIONS[target?.verb as OperationName] ?? OTHER
}
