/** What is worth most of all records, without a list of them: how many bytes there are of each worth. */

/** Bands an octave wide: worth from 2^-32 to 2^32. */
const BANDS = 64
/** Walks over memory for one file: more of them put it into a finer order, and read the index once more each. */
const WALKS = 4

/** Of worth as the arenas have it, in octaves. */
export function bandOf(worth: number): number {
  return Math.max(0, Math.min(BANDS - 1, Math.floor(worth) + BANDS / 2))
}

export class WorthRanking {
  readonly #bytes = new Float64Array(BANDS)

  add(worth: number, bytes: number): void {
    const band = bandOf(worth)
    this.#bytes[band] = (this.#bytes[band] as number) + bytes
  }

  /** From which band on each walk takes records, so that the best come first, up to `room` bytes. */
  bands(room: number): readonly number[] {
    const total = this.#bytes.reduce((sum, bytes) => sum + bytes, 0)
    const share = Math.min(room, total) / WALKS
    const froms: number[] = []
    let bytes = 0
    let taken = 0
    for (let band = BANDS - 1; band >= 0 && taken < room; band--) {
      const own = this.#bytes[band] as number
      // The band that does not fit wholly comes by itself, behind all that are better.
      if (bytes > 0 && (bytes >= share || taken + own > room)) {
        froms.push(band + 1)
        bytes = 0
      }
      bytes += own
      taken += own
      if (bytes > 0 && (band === 0 || taken >= room)) froms.push(band)
    }
    return froms
  }
}
