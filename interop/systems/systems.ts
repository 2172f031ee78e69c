/** The systems that the suite knows, in the order in which they run. */
import type { System } from '../suite/session.ts'
import { hdfs } from './hdfs/hdfs.ts'
import { kubernetes } from './kubernetes/kubernetes.ts'
import { mlserver } from './mlserver/mlserver.ts'
import { s3 } from './s3/s3.ts'
import { spark } from './spark/spark.ts'
import { tiers } from './tiers/tiers.ts'

export const SYSTEMS: readonly System[] = [mlserver, kubernetes, tiers, hdfs, s3, spark]
