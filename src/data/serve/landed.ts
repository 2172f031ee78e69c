/** What a row's look-up takes from the result of a load. */
import type { LoadResult } from '../rows/lookup-context.ts'
import type { RowLookup } from '../rows/row-lookups.ts'

export function isFailure({ kind }: LoadResult): boolean {
  return kind !== 'entry' && kind !== 'running'
}

export function accept(lookup: RowLookup, result: LoadResult | undefined): void {
  if (result?.kind !== 'entry') return
  lookup.entry = result.entry
  lookup.tier = result.tier
  lookup.joined ||= result.joined === true
  lookup.notStored = result.notStored === true
  if (!lookup.joined) lookup.leaderReply = result.leaderReply
}
