/** The systems that the suite knows, in the order in which they run. */
import type { System } from '../suite/session.ts'
import { hdfs } from './hdfs/hdfs.ts'
import { mlserver } from './mlserver/mlserver.ts'
import { s3 } from './s3/s3.ts'
import { spark } from './spark/spark.ts'

export const SYSTEMS: readonly System[] = [mlserver, hdfs, s3, spark]
