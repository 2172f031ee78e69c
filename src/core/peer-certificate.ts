/**
 * Who a client's certificate names. The names are those of the certificate, unescaped, so that they can be compared with
 * names in the settings.
 */

/** A client certificate that was verified against `clientCa` and `crl`. */
export interface PeerCertificate {
  /** Common names of the subject (CN). */
  readonly subjectCn: readonly string[]
  /** Organizational units of the subject (OU). */
  readonly subjectOu: readonly string[]
  /** Subject alternative names of type DNS. */
  readonly sanDns: readonly string[]
  /** Subject alternative names of type URI, such as SPIFFE ids. */
  readonly sanUri: readonly string[]
  /** SHA-256 of the certificate's DER, 64 lower-case hex digits. */
  readonly fingerprint: string
}

/** The parts of node:tls's `PeerCertificate` that name somebody. */
export interface CertificateNames {
  readonly subject: Readonly<Partial<Record<string, string | string[]>>>
  /** As node:crypto's `X509Certificate.subjectAltName` writes it. */
  readonly subjectaltname?: string | undefined
  /** Hex digits in pairs, with colons. */
  readonly fingerprint256: string
}

export function peerCertificate({
  subject,
  subjectaltname,
  fingerprint256,
}: CertificateNames): PeerCertificate {
  const alternatives = alternativeNames(subjectaltname)
  const ofType = (type: string) => alternatives.flatMap((one) => (one.type === type ? [one.name] : []))
  return {
    subjectCn: [subject['CN'] ?? []].flat(),
    subjectOu: [subject['OU'] ?? []].flat(),
    sanDns: ofType('DNS'),
    sanUri: ofType('URI'),
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
  }
}

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
