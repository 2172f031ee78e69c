/** The operations whose bodies name the model, by the verb of the target. */
import type { Target } from '../../core/call.ts'
import { documents } from './documents.ts'
import { embeddings } from './embeddings/embeddings.ts'
import { generationOf } from './generation/generation.ts'
import { type ApiOperation, passedOn } from './operation.ts'
import type { OperationName } from './target.ts'
import { tokenization } from './whole.ts'

const NONE: ReadonlySet<string> = new Set()

/** One or several texts, or lists of tokens. */
const OF_INPUT = { rows: new Set(['input']), single: NONE, list: 'data', isRanked: false }
/** A query and its documents, under the names that they have had. */
const SCORED = {
  rows: new Set(['documents', 'data_2', 'text_2']),
  single: new Set(['queries', 'query', 'data_1', 'text_1']),
  list: 'data',
  isRanked: false,
}
const RANKED = { rows: new Set(['documents']), single: NONE, list: 'results', isRanked: true }

const OPERATIONS: Readonly<Record<OperationName, ApiOperation>> = {
  embeddings,
  rerank: documents(RANKED),
  score: documents(SCORED),
  classify: documents(OF_INPUT),
  pooling: documents(OF_INPUT),
  tokenize: tokenization,
  detokenize: tokenization,
  chat: generationOf('chat'),
  completions: generationOf('completions'),
  responses: generationOf('responses'),
}

const OTHER = passedOn('not a prediction')

export function operationFor(target: Target | undefined): ApiOperation {
  return OPERATIONS[target?.verb as OperationName] ?? OTHER
}
