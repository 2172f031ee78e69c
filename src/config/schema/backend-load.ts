/** The schema of what backends say of their own load. */
import * as z from 'zod'
import { count, duration, ordered, orElse } from './fields.ts'

export const backendLoad = z
  .strictObject({
    from: z
      .enum(['metrics', 'answers'])
      .describe(
        '`metrics`: the page of vLLM, SGLang, TGI, Triton or llama.cpp, fetched again and again; `answers`: the ORCA fields (`endpoint-load-metrics`) that the backends put on their answers when asked, as Triton and vLLM do.',
      ),
    path: z
      .string()
      .regex(/^\/[!-~]*$/, 'a path begins with / and has no spaces')
      .prefault('/metrics')
      .describe('Where the page is.'),
    port: orElse(
      count(1, 65_535)
        .exactOptional()
        .describe('The port of the page; it is asked without credentials then.'),
      "the backend's own",
    ),
    interval: duration({ min: '50ms', max: '1m' })
      .prefault('500ms')
      .describe('Time between two looks at the page of one backend.'),
    timeout: duration({ min: '10ms', max: '1m' }).prefault('1s').describe('Longest wait for a page.'),
    maxAge: duration({ min: '100ms', max: '10m' })
      .prefault('3s')
      .describe('An older report counts for nothing: then the calls of the gateways alone count.'),
  })
  .superRefine(({ interval, maxAge }, ctx) => ordered(ctx, [interval, maxAge], ['interval', 'maxAge']))
