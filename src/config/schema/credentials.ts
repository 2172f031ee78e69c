/** The schema of the credential that the gateway itself shows to the backends of a pool. */
import * as z from 'zod'
import { HOP_FIELDS, REPLACED_FIELDS } from '../../core/fields.ts'
import { hostPattern, kinds, orElse, refuse } from './fields.ts'

/** Fields that end at each hop, or that the client towards backends writes itself. */
const NOT_SENT = new Set([...HOP_FIELDS, ...REPLACED_FIELDS])

/** What a credential may consist of, in the settings and in a file. */
export const CREDENTIAL_TEXT = /^[\x21-\x7e](?:[\x20-\x7e]{0,16382}[\x21-\x7e])?$/
export const CREDENTIAL_HINT = 'expected 1 to 16384 visible ASCII characters, without a space at either end'

export const credentials = z
  .strictObject({
    header: z
      .string()
      .toLowerCase()
      .regex(/^[a-z0-9-]{1,63}$/, { error: 'expected a header field name of letters, digits and "-"' })
      .refine((name) => !NOT_SENT.has(name), { error: 'no backend gets this field as it is written here' })
      .prefault('authorization')
      .describe("The header field it is sent in, in place of the caller's."),
    scheme: orElse(
      z
        .string()
        .regex(/^[A-Za-z][A-Za-z0-9-]{0,31}$/, { error: 'expected an authentication scheme, such as Bearer' })
        .exactOptional()
        .describe('Stands before it with a space between, such as `Bearer`.'),
      'nothing',
    ),
    value: z
      .string()
      .regex(CREDENTIAL_TEXT, { error: CREDENTIAL_HINT })
      .register(kinds, { kind: 'secret' })
      .exactOptional()
      .describe('The credential, such as `"Bearer ${KEY}"`.'),
    valueFile: z
      .string()
      .min(1)
      .exactOptional()
      .describe('A file that holds it, as a path from this YAML; read again when it changes.'),
    hosts: z
      .array(hostPattern())
      .max(64)
      .prefault([])
      .describe(
        'Which backends may have it besides those that `backends` lists, and which take no calls otherwise: host names (`*.` before one: all below it), which count over verified TLS only, and address ranges.',
      ),
  })
  .superRefine(({ value, valueFile }, ctx) => {
    if ((value === undefined) === (valueFile === undefined))
      refuse(ctx, value === undefined ? 'has no value: name value or valueFile' : 'has two values: name one')
  })
