/**
 * The schema of embedded models: each becomes a pool with its own name, served by processes of this machine, and adds
 * routes that cache.
 */
import * as z from 'zod'
import { readStoreUrl } from '../../core/store-url.ts'
import { routeCache } from './cache.ts'
import { count, duration, nameOf, ordered, orElse, refuse } from './fields.ts'
import { slo, windowsOf } from './scale.ts'

const replicas = z
  .strictObject({
    min: count(0, 256).prefault(1).describe('Processes that always run; at 0, the first call starts one.'),
    max: count(1, 256).prefault(1).describe('Processes that run under load.'),
  })
  .superRefine(({ min, max }, ctx) => ordered(ctx, [min, max], ['min', 'max']))

const embedding = z.strictObject({
  pooling: orElse(
    z
      .enum(['mean', 'cls'])
      .exactOptional()
      .describe('How the vectors of the tokens become one: their mean, or that of the first.'),
    '`1_Pooling/config.json`, or `mean`',
  ),
  normalize: orElse(
    z.boolean().exactOptional().describe('Whether vectors are brought to length 1.'),
    '`modules.json`, or `true`',
  ),
  maxTokens: orElse(
    count(1, 1_000_000)
      .exactOptional()
      .describe('The most tokens of a text, with those that the tokenizer puts around it.'),
    'the files of the model, or 512',
  ),
  truncate: orElse(
    z.boolean().exactOptional().describe('Whether a longer text is cut; otherwise it is refused (400).'),
    'whether `tokenizer.json` cuts',
  ),
  dimensions: orElse(
    z
      .array(count(1, 65_536))
      .max(32)
      .exactOptional()
      .describe(
        'Shorter vectors that a caller may ask for by `dimensions`: the first numbers of the whole one.',
      ),
    '`matryoshka_dimensions` of `config.json`',
  ),
})

export const model = z.strictObject({
  name: nameOf('model').describe(
    'Name in the paths (`/v1/models/NAME:predict`, `/v2/models/NAME/infer`) and of its pool.',
  ),
  source: z
    .string()
    .min(1)
    .superRefine((text, ctx) => {
      const url = readStoreUrl(text)
      if (url && 'problem' in url) refuse(ctx, url.problem)
    })
    .describe(
      'An ONNX file, as a path from the YAML or a URI (`file:`, `https:`, `hdfs:`, `webhdfs:`, `swebhdfs:`, `s3:`); a directory holds one numbered subdirectory a version.',
    ),
  kind: z
    .enum(['tensors', 'embedding'])
    .prefault('tensors')
    .describe(
      'What it takes: tensors, or, a sentence encoder with its `tokenizer.json` beside it, texts; then it is served under `/v1/embeddings`, too.',
    ),
  embedding: embedding
    .exactOptional()
    .describe('How a model of kind `embedding` is used, where its own files do not say it.'),
  poll: duration({ min: '1s', max: '24h' })
    .prefault('10s')
    .describe('How often a source that is not on this machine is looked at; paths are every second.'),
  replicas: replicas.prefault({}).describe('How many processes serve it.'),
  maxBatch: count(1, 65_536)
    .prefault(128)
    .describe('The most rows of waiting calls that one run of the model takes; 1 joins none.'),
  delay: duration({ min: '0s', max: '600s' })
    .prefault('0s')
    .describe('A wait added to every run, without work: for load experiments.'),
  slo: slo.exactOptional().describe('The promise by which `replicas` are scaled.'),
  scale: z
    .strictObject({ windows: windowsOf('30s').prefault({}).describe('Over which times demand is measured.') })
    .prefault({})
    .describe('How processes are started and stopped between `replicas.min` and `replicas.max`.'),
  cache: routeCache.prefault({}).describe('How its answers are kept; the same keys as `routes[].cache`.'),
})
