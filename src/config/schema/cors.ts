/** The schema of CORS: which pages of other origins may call a route. */
import * as z from 'zod'
import { duration, refuse } from './fields.ts'

const HINT = 'expected an origin as browsers send it, such as https://app.example or http://localhost:3000'
const NULL_HINT = 'any page can have the origin null, by a frame in a sandbox: name the page in another way'

/** Scheme, host and port as they are compared, letter by letter. */
const origin = z.string().superRefine((text, ctx) => {
  if (text === '*') return
  const why = text === 'null' ? NULL_HINT : HINT
  const { origin: canonical } = (/^https?:/i.test(text) && URL.parse(text)) || { origin: text }
  if (canonical !== text || !/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*,]+$/.test(text)) refuse(ctx, why)
})

const fieldNames = () =>
  z.array(
    z
      .string()
      .toLowerCase()
      .regex(/^[a-z0-9!#$%&'+.^_`|~-]+$/, {
        error: 'expected a header field name; every one is written out, since "*" leaves out Authorization',
      }),
  )

export const cors = z
  .strictObject({
    origins: z
      .array(origin)
      .min(1)
      .max(256)
      .describe('Origins of the pages, letter by letter; `"*"` alone: any page.'),
    methods: z
      .array(z.string().regex(/^[A-Z]{1,32}$/, { error: 'expected methods in capitals, such as POST' }))
      .min(1)
      .prefault(['GET', 'HEAD', 'POST'])
      .describe('Methods that pages may use.'),
    headers: fieldNames()
      .prefault(['authorization', 'content-type'])
      .describe('Request header fields that pages may set, besides those that the Fetch standard lets them.'),
    exposeHeaders: fieldNames()
      .prefault([])
      .describe('Fields of answers that pages may read, besides those that the Fetch standard lets them.'),
    credentials: z
      .boolean()
      .prefault(false)
      .describe(
        'Whether browsers send cookies and other credentials of their own; not with `origins: ["*"]`.',
      ),
    maxAge: duration({ min: '0s', max: '1d' })
      .prefault('10m')
      .describe('How long browsers remember the answer to a preflight, in whole seconds.'),
  })
  .superRefine(({ origins, credentials }, ctx) => {
    const at = origins.indexOf('*')
    if (at >= 0 && origins.length > 1) refuse(ctx, '"*" is any origin: leave out the others', ['origins', at])
    if (at >= 0 && credentials)
      refuse(ctx, 'browsers send credentials to named origins only: name those in origins', ['credentials'])
  })
