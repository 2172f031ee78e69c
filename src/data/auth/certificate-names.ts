/** The names of a client certificate as tenant and subject. */
import type { PeerCertificate } from '../../core/peer-certificate.ts'

export type CertificateName = 'subject.cn' | 'subject.ou' | 'san.dns' | 'san.uri'

/** The one name of this kind; undefined: there is none, or there are several, and which is meant could not be told. */
export function certificateName(certificate: PeerCertificate, kind: CertificateName): string | undefined {
  const names = certificate[FIELDS[kind]]
  return names.length === 1 ? names[0] : undefined
}

const FIELDS = {
  'subject.cn': 'subjectCn',
  'subject.ou': 'subjectOu',
  'san.dns': 'sanDns',
  'san.uri': 'sanUri',
} as const
