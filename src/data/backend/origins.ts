/** The origins of the backends of one client: from a backend's URL to the connections of its origin. */

/** The address of an origin. */
export interface OriginAddress {
  readonly scheme: 'http' | 'https'
  /** A name, or an address without brackets. */
  readonly host: string
  readonly port: number
  /** As written in Host. */
  readonly authority: string
}

/** The connections to one origin. */
export interface OriginConnections {
  /** Lets running and waiting requests finish, then closes all connections. */
  retire(): void
  /** Ends all requests and closes all connections. */
  close(): void
}

interface Destined<C> {
  readonly origin: C
  /** The path before every target. */
  readonly prefix: string
}

export class Origins<C extends OriginConnections> {
  readonly #open: (address: OriginAddress) => C
  readonly #origins = new Map<string, C>()
  readonly #destinations = new Map<string, Destined<C>>()

  constructor(open: (address: OriginAddress) => C) {
    this.#open = open
  }

  /** The connections for a backend's URL. */
  find(url: string): Destined<C> {
    return this.#destinations.get(url) ?? this.#resolve(url)
  }

  /** Retires the connections to an origin that is no longer used. */
  forget(url: string): void {
    const destination = this.#destinations.get(url)
    if (!destination) return
    for (const [known, { origin }] of this.#destinations)
      if (origin === destination.origin) this.#destinations.delete(known)
    this.#origins.delete(originOf(url))
    destination.origin.retire()
  }

  /** Retires all connections; further requests open new ones. */
  retire(): void {
    for (const origin of this.#origins.values()) origin.retire()
    this.#clear()
  }

  close(): void {
    for (const origin of this.#origins.values()) origin.close()
    this.#clear()
  }

  #resolve(url: string): Destined<C> {
    const key = originOf(url)
    let origin = this.#origins.get(key)
    if (!origin) {
      origin = this.#open(addressOf(key))
      this.#origins.set(key, origin)
    }
    const destination = { origin, prefix: url.slice(key.length) }
    this.#destinations.set(url, destination)
    return destination
  }

  #clear(): void {
    this.#origins.clear()
    this.#destinations.clear()
  }
}

function originOf(url: string): string {
  const slash = url.indexOf('/', url.indexOf('//') + 2)
  return slash < 0 ? url : url.slice(0, slash)
}

function addressOf(origin: string): OriginAddress {
  const { protocol, hostname, port, host } = new URL(origin)
  const isSecure = protocol === 'https:'
  return {
    scheme: isSecure ? 'https' : 'http',
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || (isSecure ? 443 : 80)),
    authority: host,
  }
}
