/** The systems that the suite knows, in the order in which they run. */
import type { System } from '../suite/session.ts'
import { bentoml } from './bentoml/bentoml.ts'
import { caffe } from './caffe/caffe.ts'
import { grpc } from './grpc/grpc.ts'
import { h2spec } from './h2spec/h2spec.ts'
import { hdfs } from './hdfs/hdfs.ts'
import { keda } from './keda/keda.ts'
import { kserve } from './kserve/kserve.ts'
import { kubernetes } from './kubernetes/kubernetes.ts'
import { llama } from './llama/llama.ts'
import { mlserver } from './mlserver/mlserver.ts'
import { ray } from './ray/ray.ts'
import { s3 } from './s3/s3.ts'
import { spark } from './spark/spark.ts'
import { tensorflow } from './tensorflow/tensorflow.ts'
import { tiers } from './tiers/tiers.ts'
import { torchserve } from './torchserve/torchserve.ts'
import { triton } from './triton/triton.ts'

export const SYSTEMS: readonly System[] = [
  tensorflow,
  torchserve,
  kserve,
  mlserver,
  triton,
  caffe,
  llama,
  h2spec,
  grpc,
  bentoml,
  ray,
  hdfs,
  s3,
  spark,
  kubernetes,
  keda,
  tiers,
]
