/**
 * Rules for the addresses that the gateway may connect to. Whoever may register a backend names an address that the
 * gateway then calls. Addresses that lead to credentials or back to the gateway are therefore refused (server-side
 * request forgery). The check runs on the resolved address at every connect, because a name may resolve differently the
 * next time.
 */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

/** A host and port. In a listener, `0.0.0.0` and `::` stand for every local address. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/** What a listener opens: an address, or a listening socket that was handed over, of which only the descriptor counts. */
export interface Listening extends HostPort {
  readonly socket?: number
}

/** Where a server listens: a host and port, or the path of a Unix socket. */
export type SocketAddress = HostPort | { readonly path: string }

export interface AddressRules {
  /** CIDRs that are allowed although they are link-local, metadata or the like. */
  readonly allow: BlockList
  readonly ownListeners: readonly HostPort[]
  /** The addresses of this machine's interfaces; called only when a wildcard listener is in `ownListeners`. */
  readonly localAddresses: () => readonly string[]
}

export interface AddressOptions {
  readonly allow?: readonly string[]
  readonly ownListeners?: readonly HostPort[]
  readonly localAddresses?: () => readonly string[]
}

const MAX_URL_LENGTH = 2048

/** The first match gives the reason, so narrow ranges come before wide ones. */
const REFUSED: readonly (readonly [reason: string, cidrs: readonly string[]])[] = [
  [
    'a cloud metadata address',
    ['169.254.169.254/32', '169.254.170.2/32', '100.100.100.200/32', '192.0.0.192/32', 'fd00:ec2::254/128'],
  ],
  ['a link-local address', ['169.254.0.0/16', 'fe80::/10']],
  ['the unspecified address', ['0.0.0.0/8', '::/128']],
  ['the broadcast address', ['255.255.255.255/32']],
  ['a multicast address', ['224.0.0.0/4', 'ff00::/8']],
]

const REFUSED_LISTS = REFUSED.map(([reason, cidrs]) => ({ reason, list: cidrList(cidrs) }))
const LOOPBACK = cidrList(['127.0.0.0/8', '::1/128'])

/**
 * Reads the rules once. Throws an Error that names the bad CIDR.
 */
export function createAddressRules(options: AddressOptions = {}): AddressRules {
  return {
    allow: cidrList(options.allow ?? []),
    ownListeners: options.ownListeners ?? [],
    localAddresses: options.localAddresses ?? (() => []),
  }
}

/**
 * Why a connection to this resolved address is refused, as the end of the sentence "… is", or undefined when
 * it is allowed. IPv6 forms that carry an IPv4 address (mapped, compatible, NAT64, 6to4, SIIT) are judged by both.
 */
export function addressRefusal(ip: string, port: number, rules: AddressRules): string | undefined {
  const bare = ip.replace(/%.*$/, '')
  if (isIP(bare) === 0) return 'not an IP address'
  const forms = [bare, ...embeddedIPv4(bare)]
  if (forms.some((form) => isOwnListener(form, port, rules))) return "one of the gateway's own listeners"
  if (contains(rules.allow, bare)) return undefined
  for (const { reason, list } of REFUSED_LISTS) {
    if (forms.some((form) => contains(list, form) && !contains(rules.allow, form))) return reason
  }
  return undefined
}

/** True for 127.0.0.0/8, ::1 and the mapped forms of the former. */
export function isLoopback(ip: string): boolean {
  return isIP(ip) !== 0 && [ip, ...embeddedIPv4(ip)].some((form) => contains(LOOPBACK, form))
}

/** Whether the list has this host; false for a host name. */
export function isWithin(list: BlockList, host: string): boolean {
  return isIP(host) !== 0 && contains(list, host)
}

/**
 * A backend's URL in its one canonical form, `http(s)://host[:port][/prefix]` without a trailing slash, or the
 * sentence that says what to change. An address written as a literal is checked at once; names are at connect.
 */
export function parseBackendUrl(text: string, rules?: AddressRules): { url: string } | { problem: string } {
  if (text.length > MAX_URL_LENGTH) return { problem: `is longer than ${MAX_URL_LENGTH} characters` }
  if (/[\s\\]/.test(text) || hasControls(text))
    return { problem: 'has spaces, backslashes or control characters' }
  const url = URL.parse(text)
  if (!url) return { problem: 'is not a URL: write http://host:port' }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return { problem: `has the scheme ${url.protocol}// : only http:// and https:// are spoken` }
  }
  if (url.port === '0')
    return { problem: 'has port 0, on which nothing listens: write the port it really has' }
  if (url.username !== '' || url.password !== '') return { problem: 'has credentials in it: leave them out' }
  if (/[?#]/.test(text)) return { problem: 'has a query or a fragment: leave it out' }
  const prefix = url.pathname.replace(/\/+$/, '')
  if (!/^(\/[\w.~!$&'()*+,;=:@-]+)*$/.test(prefix)) {
    return { problem: 'has a path prefix with empty or percent-encoded segments: write plain segments' }
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (rules && isIP(host) !== 0) {
    const refusal = addressRefusal(host, portOf(url), rules)
    if (refusal !== undefined) return { problem: `leads to ${host}, which is ${refusal}` }
  }
  return { url: `${url.origin}${prefix}` }
}

/** The port a URL connects to, the scheme's own where none is written. */
export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

function isOwnListener(ip: string, port: number, rules: AddressRules): boolean {
  return rules.ownListeners.some((own) => {
    if (own.port !== port) return false
    if (own.host === 'localhost') return contains(LOOPBACK, ip)
    if (isIP(own.host) === 0) return false
    if (sameAddress(own.host, ip)) return true
    if (!sameAddress(own.host, '0.0.0.0') && !sameAddress(own.host, '::')) return false
    return contains(LOOPBACK, ip) || rules.localAddresses().some((local) => sameAddress(local, ip))
  })
}

function sameAddress(a: string, b: string): boolean {
  const bare = a.replace(/%.*$/, '')
  return bare === b || (isIPv6(bare) && isIPv6(b) && hextets(bare).join() === hextets(b).join())
}

function contains(list: BlockList, ip: string): boolean {
  return list.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6')
}

export function cidrList(cidrs: readonly string[]): BlockList {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [address = '', bits, ...rest] = cidr.split('/')
    const family = isIP(address)
    const widest = family === 4 ? 32 : 128
    const prefix = bits === undefined ? widest : Number(bits)
    if (
      family === 0 ||
      rest.length > 0 ||
      bits === '' ||
      !(Number.isInteger(prefix) && prefix >= 0 && prefix <= widest)
    ) {
      throw new Error(`"${cidr}" is not a CIDR: write 10.0.0.0/8 or fd00::/8`)
    }
    list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

/** The IPv4 addresses an IPv6 address stands for, by the well-known embeddings. */
function embeddedIPv4(ip: string): string[] {
  if (!isIPv6(ip)) return []
  const h = hextets(ip)
  const at = (i: number): string => {
    const high = h[i] ?? 0
    const low = h[i + 1] ?? 0
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  const head = h.slice(0, 6).join()
  const found: string[] = []
  // ::ffff:a.b.c.d (RFC 4291), ::a.b.c.d (deprecated there), ::ffff:0:a.b.c.d (RFC 2765), 64:ff9b::/96 (RFC 6052)
  const embeddings = ['0,0,0,0,0,65535', '0,0,0,0,0,0', '0,0,0,0,65535,0', '100,65435,0,0,0,0']
  if (embeddings.includes(head) && !isTiny(h)) found.push(at(6))
  // 64:ff9b:1::/48 (RFC 8215) puts the address where the operator's prefix length says: judge the common /96 form.
  if (h[0] === 0x64 && h[1] === 0xff9b && h[2] === 1) found.push(at(6))
  if (h[0] === 0x2002) found.push(at(1)) // 6to4, RFC 3056
  return found
}

/** `::` and `::1` are addresses of their own and not 0.0.0.0 and 0.0.0.1. */
function isTiny(h: readonly number[]): boolean {
  return h.slice(0, 7).every((part) => part === 0) && (h[7] ?? 0) <= 1
}

function hextets(ip: string): number[] {
  const canonical = new URL(`http://[${ip}]/`).hostname.slice(1, -1)
  const [left = '', right] = canonical.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const gap = right === undefined ? [] : Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return [...head, ...gap, ...tail].map((part) => Number.parseInt(part, 16))
}

function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}
