/** How the rows of one call were answered; the four add up to the rows of the call. */
export interface RowCounts {
  readonly hit: number
  readonly join: number
  readonly miss: number
  readonly dup: number
}
