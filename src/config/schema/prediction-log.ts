/** The schema of a route's prediction log: where its files go, which calls they get, and when the next file begins. */
import * as z from 'zod'
import { readStoreUrl } from '../../core/store-url.ts'
import { duration, refuse, share, size } from './fields.ts'

const roll = z.strictObject({
  bytes: size({ min: '64KiB', max: '1GiB' })
    .prefault('128MiB')
    .describe('A file that has reached this length is closed, and appears.'),
  every: duration({ min: '1s', max: '1h' })
    .prefault('5m')
    .describe('A file that has been open for this long is closed, and appears.'),
})

export const predictionLog = z.strictObject({
  to: z
    .string()
    .min(1)
    .superRefine((text, ctx) => {
      const place = readStoreUrl(text)
      if (!place) return
      if ('problem' in place) return refuse(ctx, place.problem)
      if (place.type !== 'hdfs')
        refuse(ctx, 'expected a folder, or webhdfs://, swebhdfs:// or hdfs:// with a path')
    })
    .describe(
      'The directory that the files appear in: an existing folder, as a path from the YAML or `file://`, or one of HDFS, `webhdfs://NAMENODE:9870/PATH`.',
    ),
  sample: share()
    .prefault('100%')
    .describe('The share of the predictions that is logged, each call with this probability.'),
  roll: roll.prefault({}).describe('When a file is complete; only then can it be seen.'),
  format: z
    .enum(['jsonl', 'tfrecord'])
    .prefault('jsonl')
    .describe(
      '`jsonl`: a JSON object a line, whatever was asked. `tfrecord`: a `PredictionLog` of TensorFlow Serving a record, of what has tensors.',
    ),
  spool: size({ min: '1MiB', max: '1TiB' })
    .prefault('1GiB')
    .describe(
      'Most bytes of files that wait in `stores.dir` until HDFS has them; beyond them predictions are dropped and counted. Not for a folder.',
    ),
})
