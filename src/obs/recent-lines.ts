/**
 * The newest lines of the log, for followers of the events: what happened before they came. A flood of one event takes
 * no place of another one's lines. Debug lines and refused callers of the admin API, whom anybody can cause, are left out.
 */

const EACH = 50
const MAX_EVENTS = 128
const MAX_LENGTH = 4096
/** As the log writes the beginning of a line. */
const HEAD = /^\{"level":"(?!debug)\w+","time":"[^"]+","event":"((?!admin\.refused)[^"]+)"/

export class RecentLines {
  readonly #lines = new Map<string, string[]>()
  readonly #followers = new Set<(line: string) => void>()

  /** @param line JSON, as it is written */
  add(line: string): void {
    const event = line.length > MAX_LENGTH ? undefined : HEAD.exec(line)?.[1]
    if (event === undefined || (!this.#lines.has(event) && this.#lines.size === MAX_EVENTS)) return
    const text = line.trimEnd()
    const lines = this.#lines.get(event) ?? []
    lines.push(text)
    if (lines.length > EACH) lines.shift()
    this.#lines.set(event, lines)
    for (const follower of this.#followers) follower(text)
  }

  /** The oldest first. */
  all(): readonly string[] {
    const time = (line: string) => /"time":"([^"]+)"/.exec(line)?.[1] ?? ''
    return [...this.#lines.values()].flat().sort((a, b) => (time(a) < time(b) ? -1 : 1))
  }

  follow(follower: (line: string) => void): () => void {
    this.#followers.add(follower)
    return () => void this.#followers.delete(follower)
  }
}
