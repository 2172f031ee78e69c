/** What is noted on a request, beside its keys. */
import type { Plan } from '../protocol.ts'
import type { InferNotes } from './grpc/join.ts'
import type { OipRequest, OutputPreferences } from './request.ts'

/** What `address` and the functions for rows need to know about a request. */
export interface OipNotes {
  readonly preferences: OutputPreferences
  readonly request?: OipRequest
  /** The caller sent the length of the JSON part, even if all of the body is JSON. */
  readonly isMeasured?: boolean
  /** Present if it is a gRPC call. */
  readonly grpc?: InferNotes
}

/** Whether there are outputs, among them all that the request lists. */
export function hasAll(outputs: readonly { readonly name: string }[], plan?: Pick<Plan, 'common'>): boolean {
  const names = new Set(outputs.map((output) => output.name))
  const listed = plan ? (plan.common as OipNotes).preferences.listed.keys() : []
  return names.size > 0 && [...listed].every((name) => names.has(name))
}
