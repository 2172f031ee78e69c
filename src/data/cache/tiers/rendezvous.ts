/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): each key ranks the servers in an order of its own, and belongs to the
 * first. A server that is added takes over its share of the keys, one that is taken out leaves its own to the others, and
 * no other key moves.
 */
import { hash } from 'node:crypto'

export interface Rendezvous<S> {
  /** The server that has the key. `digest`: 32 bytes as latin1. */
  first(digest: string): S
  /** The first `count` servers of the key's order. */
  ranked(digest: string, count: number): S[]
}

/** `servers`: at least one; their names decide, not their order. */
export function createRendezvous<S extends { readonly name: string }>(servers: readonly S[]): Rendezvous<S> {
  const seeds = servers.map(({ name }) => Number.parseInt(hash('sha256', name, 'hex').slice(0, 8), 16))
  const [only] = servers
  return {
    first(digest) {
      if (servers.length === 1) return only as S
      const bits = bitsOf(digest)
      let best = 0
      let most = -1
      for (let i = 0; i < seeds.length; i++) {
        const score = scoreOf(bits, seeds[i] as number)
        if (score <= most) continue
        most = score
        best = i
      }
      return servers[best] as S
    },
    ranked(digest, count) {
      const bits = bitsOf(digest)
      return servers
        .map((server, i) => ({ server, score: scoreOf(bits, seeds[i] as number) }))
        .sort((a, b) => b.score - a.score)
        .slice(0, count)
        .map(({ server }) => server)
    },
  }
}

function bitsOf(digest: string): number {
  return (
    (digest.charCodeAt(28) << 24) |
    (digest.charCodeAt(29) << 16) |
    (digest.charCodeAt(30) << 8) |
    digest.charCodeAt(31)
  )
}

/** The finalizer of MurmurHash3 over both: every bit of either changes about half of the score's. */
function scoreOf(bits: number, seed: number): number {
  let mixed = Math.imul(bits ^ seed, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ seed, 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
