/** The schema of TLS, for listeners and for connections to others. Files are named as paths from the YAML. */
import * as z from 'zod'
import { refuse } from './fields.ts'

const file = () => z.string().min(1)

const keyPair = z.strictObject({
  cert: file().describe('PEM file of the certificate, with the chain behind it.'),
  key: file().describe('PEM file of its private key, without a passphrase.'),
})

/** TLS of a listener. */
export const serverTls = z
  .strictObject({
    certificates: z
      .array(keyPair)
      .min(1)
      .describe('Chosen by the name a client asks for (SNI); the first is for all other names.'),
    clientCa: file()
      .exactOptional()
      .describe('PEM file of the authorities whose client certificates are accepted.'),
    clientAuth: z
      .enum(['optional', 'required'])
      .prefault('required')
      .describe(
        'With `clientCa`: whether a client must show a certificate. One that is shown and not valid ends the handshake either way.',
      ),
    crl: file()
      .exactOptional()
      .describe('PEM file of revocation lists, one of each authority in `clientCa`.'),
  })
  .superRefine(({ clientCa, crl }, ctx) => {
    if (crl !== undefined && clientCa === undefined)
      refuse(ctx, 'revokes certificates of clients, and none are asked for: name clientCa as well', ['crl'])
  })

/** TLS towards others. */
export const clientTls = z
  .strictObject({
    ca: file()
      .exactOptional()
      .describe('PEM file of the authorities that are trusted; otherwise those that Node trusts.'),
    cert: file().exactOptional().describe('PEM file of our own certificate, with the chain behind it.'),
    key: file().exactOptional().describe('PEM file of its private key, without a passphrase.'),
    serverName: z
      .string()
      .regex(/^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/, {
        error: 'expected a host name, such as models.internal',
      })
      .exactOptional()
      .describe('The name that is asked for and that the certificate must have; otherwise that of the URL.'),
    verify: z
      .boolean()
      .prefault(true)
      .describe('`false` accepts any certificate: anybody on the way can read and answer calls.'),
  })
  .superRefine(({ cert, key }, ctx) => {
    if (cert !== undefined && key === undefined) refuse(ctx, 'has no key: name it as well', ['cert'])
    if (cert === undefined && key !== undefined) refuse(ctx, 'has no certificate: name cert as well', ['key'])
  })
