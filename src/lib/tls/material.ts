/** Certificates and keys as they pass between threads: PEM text, read from the files that the settings name. */

export interface KeyPair {
  /** The certificate and its chain. */
  readonly cert: string
  readonly key: string
}

/** The side that accepts connections. */
export interface ServerTls {
  /** Chosen by the server name that a client asks for; the first is for all other names. Never empty. */
  readonly certificates: readonly KeyPair[]
  /** Undefined: clients are asked for no certificate. */
  readonly client: ClientVerification | undefined
  /** Hex digits of the secret from which the keys of session tickets are derived, so that threads share their sessions. */
  readonly ticketSecret: string
}

export interface ClientVerification {
  readonly ca: string
  readonly crl: string | undefined
  /** A client without a certificate is refused. */
  readonly isRequired: boolean
}

/** The side that opens connections. */
export interface ClientTls {
  /** Undefined: the authorities that Node trusts. */
  readonly ca: string | undefined
  readonly identity: KeyPair | undefined
  /** Undefined: the name in the address. */
  readonly serverName: string | undefined
  /** False: any certificate is accepted. */
  readonly isVerified: boolean
}
