/** What Node says of a certificate: OpenSSL's X509_V_ERR_* without their prefix, and two of its own (node:tls, "X509 certificate error codes"). */
const CERTIFICATE =
  /^(?:CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$|ERROR_IN_C(?:ERT|RL)_|INVALID_(?:CA|PURPOSE)$|PATH_LENGTH_EXCEEDED$|HOSTNAME_MISMATCH$|OUT_OF_MEM$|ERR_TLS_CERT_)/

export function isAboutCertificate(code: string): boolean {
  return CERTIFICATE.test(code)
}
