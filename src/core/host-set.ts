/** Sets of hosts as settings name them: host names, `*.` and a domain, addresses, and ranges of addresses. */
import { cidrList, isWithin } from './addresses.ts'

export class HostSet {
  readonly #names = new Set<string>()
  readonly #suffixes: string[] = []
  readonly #ranges: ReturnType<typeof cidrList>

  /** Throws an Error that names a range that is none. */
  constructor(patterns: readonly string[]) {
    const ranges: string[] = []
    for (const pattern of patterns) {
      const bare = bareOf(pattern)
      if (isAddresses(bare)) ranges.push(bare)
      else if (bare.startsWith('*.')) this.#suffixes.push(bare.slice(1))
      else this.#names.add(bare)
    }
    this.#ranges = cidrList(ranges)
  }

  /** `host` as in a URL, an IPv6 address with or without brackets. */
  has(host: string): boolean {
    return this.hasAddress(host) || this.hasName(host)
  }

  hasAddress(host: string): boolean {
    return isWithin(this.#ranges, bareOf(host))
  }

  hasName(host: string): boolean {
    const bare = bareOf(host)
    if (isAddresses(bare)) return false
    return this.#names.has(bare) || this.#suffixes.some((suffix) => bare.endsWith(suffix))
  }
}

/** Whether a pattern stands for addresses, and not for names: those have a letter, and no colon. */
export function isAddresses(pattern: string): boolean {
  return pattern.includes(':') || /^[\d./]+$/.test(pattern)
}

const bareOf = (host: string): string => host.toLowerCase().replace(/^\[|\]$/g, '')
