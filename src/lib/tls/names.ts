/** The names in a certificate. */
import type { X509Certificate } from 'node:crypto'

interface AlternativeName {
  /** `DNS`, `URI`, `IP Address`, `email`, … */
  readonly type: string
  readonly name: string
}

/**
 * Splits `X509Certificate.subjectAltName`. Node writes a name as a JSON string where it has a comma, a quote or a control
 * character, so no name can pass for two.
 */
export function alternativeNames(text = ''): AlternativeName[] {
  return [...text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)/g)].map(
    ([, type = '', name = '']) => ({ type, name: name.startsWith('"') ? String(JSON.parse(name)) : name }),
  )
}

/** The DNS names that a server's certificate is for, lower case. */
export function dnsNames({ subjectAltName }: X509Certificate): string[] {
  return alternativeNames(subjectAltName).flatMap(({ type, name }) =>
    type === 'DNS' ? [name.toLowerCase()] : [],
  )
}
