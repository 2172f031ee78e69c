/** The path and the Host under which a backend gets the calls of a route, where they are not the caller's. */
import { plainPath } from '../../core/path.ts'
import { lastOf } from '../../lib/memo.ts'

export interface RewriteRules {
  /** Whole segments that paths begin with, such as `/team-a`. Left out: paths stay. */
  readonly prefix?: string | undefined
  /** What takes its place; the empty string: nothing. */
  readonly to?: string | undefined
  /** Left out: that of the backend's URL, or as its pool says. */
  readonly host?: string | undefined
}

export class Rewrite {
  readonly host: string | undefined
  /** Without a slash at the end. */
  readonly #prefix: string | undefined
  readonly #to: string

  constructor({ prefix, to = '', host }: RewriteRules) {
    this.host = host
    this.#prefix = prefix === undefined ? undefined : withoutEnd(prefix)
    this.#to = withoutEnd(to)
  }

  /**
   * The path that goes to the backend; one that does not begin with the prefix stays as it is. Undefined: it would begin with two
   * slashes, which some servers take for the name of a host.
   */
  readonly path = lastOf((path: string): string | undefined => {
    const prefix = this.#prefix
    if (prefix === undefined) return path
    // Escapes of letters are another spelling of the same path.
    const known = begins(path, prefix) ? path : plainPath(path)
    if (!begins(known, prefix)) return path
    const rewritten = `${this.#to}${known.slice(prefix.length)}` || '/'
    return rewritten.startsWith('//') ? undefined : rewritten
  })
}

function begins(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === '/')
}

function withoutEnd(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}
