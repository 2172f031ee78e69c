/** Hadoop's NameNode and DataNode in one process, from Maven Central, and its own file system shell. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask } from '../../suite/ask.ts'
import { findJava } from '../../suite/java.ts'
import { NotInstalled } from '../../suite/not-installed.ts'
import { CACHE } from '../../suite/places.ts'
import { freePorts } from '../../suite/processes.ts'
import { run } from '../../suite/run.ts'
import type { Server, Session } from '../../suite/session.ts'

const HADOOP = '3.4.2'
/** The shell insists on a configuration, however empty. */
const NO_SETTINGS = '<configuration/>\n'
const JARS = join(CACHE, 'environments', `hadoop-${HADOOP}`)
const MANAGER = 'org.apache.hadoop.test.MiniDFSClusterManager'
/** Of processes that live for a minute at most: what starts quickly. */
const SHORT_LIVED = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
/** Hadoop looks into the JDK's own classes. */
const OPENS = ['java.lang', 'java.util'].flatMap((name) => ['--add-opens', `java.base/${name}=ALL-UNNAMED`])

const dependency = (group: string, name: string, version: string, type = 'jar'): string =>
  `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version><type>${type}</type></dependency>`

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>interop</groupId><artifactId>hadoop</artifactId><version>1</version><dependencies>
${[
  dependency('org.apache.hadoop', 'hadoop-common', HADOOP),
  dependency('org.apache.hadoop', 'hadoop-common', HADOOP, 'test-jar'),
  dependency('org.apache.hadoop', 'hadoop-hdfs', HADOOP),
  dependency('org.apache.hadoop', 'hadoop-hdfs', HADOOP, 'test-jar'),
  dependency('org.apache.hadoop', 'hadoop-hdfs-client', HADOOP),
  dependency('junit', 'junit', '4.13.2'),
  dependency('org.mockito', 'mockito-core', '4.11.0'),
].join('\n')}
</dependencies></project>
`

export interface Hadoop {
  /** For Hadoop's own clients: `hdfs://HOST:PORT`. */
  readonly url: string
  /** The NameNode's web server. */
  readonly namenode: string
  /** `hadoop fs`, with its arguments; gives what it printed. */
  shell(...args: string[]): Promise<string>
  kill(): Promise<void>
  /** Starts it again over the same data. */
  restart(): Promise<void>
}

/** Rejects with NotInstalled where there is no Java, no Maven, or no Maven Central. */
export async function installHadoop(session: Session): Promise<string> {
  const { command } = await findJava(session)
  await install(session)
  return command
}

/** `java`: what `installHadoop` has given; `name` is how it is called in messages, and its folder. */
export async function startHadoop(session: Session, java: string, name: string): Promise<Hadoop> {
  const [rpc, web] = await freePorts(2)
  const namenode = `http://127.0.0.1:${web}`
  const cwd = join(session.folder, name)
  mkdirSync(cwd)
  const start = (name: string, ...format: string[]): Promise<Server> =>
    session.start(
      {
        name,
        command: java,
        args: [
          ...['-Xmx512m', ...SHORT_LIVED, ...OPENS, '-cp', join(JARS, '*'), MANAGER, ...format],
          ...['-datanodes', '1', '-nnport', String(rpc), '-httpport', String(web)],
          ...['-D', 'dfs.permissions.enabled=false', '-D', 'dfs.replication=1'],
          ...['-D', 'dfs.namenode.http-bind-host=127.0.0.1'],
        ],
        cwd,
        env: { HADOOP_USER_NAME: 'interop' },
        ready: () => isUp(namenode),
      },
      `java ${MANAGER} -datanodes 1 -nnport PORT -httpport PORT`,
    )
  let server = await start(`Hadoop ${name}`, '-format')
  const url = `hdfs://127.0.0.1:${rpc}`
  return {
    url,
    namenode,
    async shell(...args) {
      const all = [
        ...SHORT_LIVED,
        ...OPENS,
        '-cp',
        `${JARS}:${join(JARS, '*')}`,
        'org.apache.hadoop.fs.FsShell',
      ]
      const options = { env: { HADOOP_USER_NAME: 'interop' }, timeoutMs: 60_000 }
      return (await run(java, [...all, '-fs', url, ...args], options)).stdout
    },
    kill: () => server.kill(),
    async restart() {
      server = await start(`Hadoop ${name} again`)
    },
  }
}

/** Up, out of safe mode, with its DataNode: a NameNode answers before there is one. */
async function isUp(namenode: string): Promise<boolean> {
  const beans = (name: string) => ask(namenode, { path: `/jmx?qry=Hadoop:service=NameNode,name=${name}` })
  const state = (await beans('FSNamesystemState')).body.toString()
  return /"FSState"\s*:\s*"Operational"/.test(state) && /"NumLiveDataNodes"\s*:\s*1\b/.test(state)
}

async function install(session: Session): Promise<void> {
  const stamp = join(JARS, 'installed')
  if (!existsSync(stamp)) {
    session.say(`installing Hadoop ${HADOOP}`)
    mkdirSync(JARS, { recursive: true })
    writeFileSync(join(JARS, 'pom.xml'), POM)
    writeFileSync(join(JARS, 'core-site.xml'), NO_SETTINGS)
    const args = ['-B', '-q', '-f', join(JARS, 'pom.xml'), 'dependency:copy-dependencies']
    await run('mvn', [...args, `-DoutputDirectory=${JARS}`], { timeoutMs: 1_200_000 }).catch(
      (error: Error) => {
        throw new NotInstalled(`Hadoop ${HADOOP} by Maven: ${error.message.split('\n', 1)[0]}`)
      },
    )
    writeFileSync(stamp, HADOOP)
  }
  session.uses('Hadoop', HADOOP)
}
