/** What the gateway adds to every answer of a route, hits and errors as well. */
import type { RawPairs } from '../../core/call.ts'
import type { CorsFields } from './cors.ts'
import type { Route } from './routes.ts'

/** `headers`: those of the request. Undefined: nothing. */
export function addedFields(
  { cors, answerFields }: Pick<Route, 'cors' | 'answerFields'>,
  headers: RawPairs,
): CorsFields | undefined {
  const ofCors = cors?.fields(headers)
  if (!answerFields) return ofCors
  return ofCors ? answerFields.beside(ofCors) : answerFields.added
}
