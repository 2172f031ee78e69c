/** Finds the model version that gave each fetched answer: the one the answer states, or the one its backend is known to serve. */
import { answeredBy } from '../key/answered-by.ts'
import type { VersionRules } from '../key/statements.ts'
import type { Matched } from '../route/routes.ts'
import type { UpstreamResponse } from '../upstream/upstream-call.ts'
import type { FetchedAnswer } from './in-parts.ts'

/** The version of each answer. A reply is read once, however many rows were cut from it. */
export function versionsOf(
  { stated }: Pick<VersionRules, 'stated'>,
  matched: Matched,
  kept: readonly FetchedAnswer[],
): readonly (string | undefined)[] {
  const { protocol, target } = matched
  const versions: (string | undefined)[] = []
  let last: UpstreamResponse | undefined
  let version: string | undefined
  for (const { response } of kept) {
    if (response !== last) {
      const { reply, backend } = response
      const said = protocol.version?.(reply, reply.body as Uint8Array)
      if (said !== undefined) stated(matched, backend, said)
      version = answeredBy(target, backend, said)
      last = response
    }
    versions.push(version)
  }
  return versions
}
