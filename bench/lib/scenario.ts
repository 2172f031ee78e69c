/** What a scenario says: what is measured on which servers, and what it must come to. */
import type { ServerName } from './servers.ts'
import type { Bodies } from './wrk.ts'

/** What a round gives, for every kind of measurement; the report shows those that are there, in this order. */
export const FIGURES = {
  perSecond: { heading: 'requests/s', digits: 0, better: 'more' },
  rowsPerSecond: { heading: 'rows/s', digits: 0, better: 'more' },
  readyMs: { heading: 'ms to ready', digits: 0, better: 'less' },
  overheadBytes: { heading: 'overhead, B an entry', digits: 0, better: 'less' },
  hotLeft: { heading: 'hot entries left of 1000', digits: 0, better: 'more' },
  upstreamPerHerd: { heading: 'backend requests a herd', digits: 2, better: 'less' },
  p50Ms: { heading: 'p50 ms', digits: 3, better: 'less' },
  p99Ms: { heading: 'p99 ms', digits: 3, better: 'less' },
  lastMs: { heading: 'last answer, ms', digits: 1, better: 'less' },
  scanned: { heading: 'scanned', digits: 0, better: 'more' },
  rssMiB: { heading: 'MiB of memory', digits: 0, better: 'less' },
  rssRatio: { heading: 'RSS / maxBytes', digits: 2, better: 'less' },
  getNs: { heading: 'get ns', digits: 0, better: 'less' },
  setNs: { heading: 'set ns', digits: 0, better: 'less' },
  cpuMicros: { heading: 'CPU µs a request', digits: 1, better: 'less' },
  cpuMs: { heading: 'CPU ms', digits: 0, better: 'less' },
  busy: { heading: 'core busy', digits: 2, better: 'less' },
  upstream: { heading: 'backend requests a request', digits: 3, better: 'less' },
  others: { heading: "others' share of the machine", digits: 2, better: 'less' },
  errors: { heading: 'errors', digits: 0, better: 'less' },
} as const satisfies Record<string, Figure>

/** A share of the machine that others may take of a round; beyond it, the round says more about them. */
export const DISTURBED = 0.05

interface Figure {
  readonly heading: string
  readonly digits: number
  readonly better: 'more' | 'less'
}

export type FigureName = keyof typeof FIGURES
export type Round = Readonly<Partial<Record<FigureName, number>>>

export interface Side {
  readonly server: ServerName
  /** What it is called, where it is not by its server. */
  readonly name?: string
  /** What it is sent, where that is not what the others are. */
  readonly bodies?: Bodies
}

export const nameOf = ({ name, server }: Side): string => name ?? server

export type Measure =
  | {
      /** wrk on a server each. */
      readonly kind: 'load'
      readonly bodies: Bodies
      readonly connections: number
      /** Milliseconds a row at the backend; undefined: it answers at once. */
      readonly msPerRow?: number
      /** Backend requests a request, lowest and highest: a hit that is none is found out. The direct side is not asked. */
      readonly upstream?: readonly [low: number, high: number]
      /** Server and load share all cores; otherwise each has one. */
      readonly shared?: boolean
    }
  /** So many equal calls at once, of a body nobody asked for before. */
  | { readonly kind: 'herd'; readonly callers: number; readonly msPerRow: number }
  /** A thousand hot bodies, then a flood of bodies that are asked for once, through a cache of so many MiB. */
  | { readonly kind: 'scan'; readonly cacheMiB: number }
  /** Full TLS handshakes and nothing else, one after the other by so many clients (`openssl s_time`). */
  | { readonly kind: 'handshakes'; readonly clients: number }
  /** From the start of the process until /readyz says 200; with so many tenants, and ten keys each. */
  | { readonly kind: 'startup'; readonly tenants?: number }
  /** bench/micro/arena.ts: the memory of the cache, without a gateway around it. */
  | { readonly kind: 'memory'; readonly entries: number; readonly bytes: number }

export interface Goal {
  readonly side: string
  readonly figure: FigureName
  /** `times` and `more` compare with another side: quotient or difference; `is` is the figure itself. */
  readonly how: 'times' | 'more' | 'is'
  readonly against?: string
  readonly demanded: number
  readonly aimed: number
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** What a reader must know to believe it. */
  readonly note?: string
  readonly measure: Measure
  readonly sides: readonly Side[]
  /** What is plotted, and shown with its range. */
  readonly figure: FigureName
  readonly goals: readonly Goal[]
  /** Rounds at most, where more would teach nothing. */
  readonly rounds?: number
  /** Left out of a quick run, unless it is asked for by name. */
  readonly unhurried?: boolean
  /** Seconds a round, where it is not the common value. */
  readonly seconds?: number
}
