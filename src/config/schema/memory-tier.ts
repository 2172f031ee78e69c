/** The schema of the memory tier. */
import * as z from 'zod'
import { duration, orElse, refuse, size } from './fields.ts'
import { sealing } from './sealing.ts'

export const memoryTier = (name: z.ZodString) =>
  z
    .strictObject({
      name,
      type: z.literal('memory').describe('In this process; the first of the tiers.'),
      maxBytes: size({ min: '64KiB' })
        .prefault('256MiB')
        .describe('Bytes of all entries together, their overhead included.'),
      snapshot: orElse(
        z
          .string()
          .min(1)
          .exactOptional()
          .describe(
            'A file, as a path from the YAML, that the entries are written to every so often and when the gateway goes down, and read from when it starts. Its folder exists. Each gateway has its own.',
          ),
        'a restart begins cold',
      ),
      snapshotEvery: orElse(
        duration({ min: '1s', max: '24h' })
          .exactOptional()
          .describe('Time between two writes of the snapshot, give or take a fifth.'),
        '`5m`',
      ),
      snapshotBytes: orElse(
        size({ min: '64KiB' })
          .exactOptional()
          .describe('Bound of the snapshot: of more entries, those are written that save most.'),
        'as `maxBytes`',
      ),
      secret: sealing.secret,
      encrypt: orElse(
        z
          .boolean()
          .exactOptional()
          .describe(sealing.encrypt.description ?? ''),
        '`false`',
      ),
    })
    .superRefine(({ snapshot, snapshotEvery, snapshotBytes, secret, encrypt }, ctx) => {
      const none = (key: string) => refuse(ctx, 'this is of a snapshot: name snapshot as well', [key])
      if (snapshot === undefined && secret !== undefined) none('secret')
      if (snapshot === undefined && snapshotEvery !== undefined) none('snapshotEvery')
      if (snapshot === undefined && snapshotBytes !== undefined) none('snapshotBytes')
      if (encrypt && secret === undefined)
        refuse(ctx, 'encrypts with a secret: name secret as well', ['encrypt'])
    })
