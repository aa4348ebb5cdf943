/**
 * The gateway as a pod of Kubernetes runs it, as far as one machine can: a file system that is read
 * only but for its volumes, a user without any capability, the start of the image.
 */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { run } from './command.ts'
import { freePort } from './free-port.ts'
import { gatewayBinary } from './gateway.ts'
import { until } from './traffic.ts'
import { startWatchdog } from './watchdog.ts'

const START = resolve(import.meta.dir, '../../deploy/container-start.sh')
const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child']
const DRIVER = ['setpriv', '--reuid=10001', '--regid=10001', '--clear-groups', '--no-new-privs']
const RIGHTS = ['--bounding-set=-all', '--inh-caps=-all']

// $1 the folder of the test, $2 the executable. Volumes belong to root and to the group of the pod.
const PREPARE = `set -e
mount --make-rprivate /
mount --bind "$1" /srv
mkdir -p /srv/scratch
mount -t tmpfs tmpfs /srv/scratch
mkdir /srv/scratch/upper /srv/scratch/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/srv/scratch/upper,workdir=/srv/scratch/work /etc
mkdir /etc/postern /etc/postern-secret
cp /srv/config/* /etc/postern/
cp /srv/secret/* /etc/postern-secret/
chown -R 0:10001 /etc/postern-secret
chmod 640 /etc/postern-secret/*
mount -t tmpfs tmpfs /usr/local/bin
touch /usr/local/bin/postern
mount --bind "$2" /usr/local/bin/postern
cp /srv/start /usr/local/bin/postern-start
mount -t tmpfs tmpfs /run
for folder in /run/postern /tmp; do
  mkdir -p "$folder"
  mount -t tmpfs -o uid=0,gid=10001,mode=2777 tmpfs "$folder"
done
cd /etc/postern
mount -o remount,bind,ro /
mount -o remount,ro /etc
`

export interface PodOptions {
  readonly config: Readonly<Record<string, string>>
  readonly secret: Readonly<Record<string, string>>
  readonly args: readonly string[]
}

export interface RunningPod {
  readonly metricsPort: number
  log(): Promise<string>
  /** SIGTERM, as at the end of a pod; its exit status. */
  stop(): Promise<number>
}

/** Whether such a pod can be had: it takes root, and a machine that permits all of it. */
export async function hasPods(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false
  if (Bun.which('unshare') === null || Bun.which('setpriv') === null) return false
  const folder = makeFolder({ config: { none: '' }, secret: { none: '' }, args: [] })
  try {
    const argv = ['unshare', ...NAMESPACES, 'sh', '-c', PREPARE, 'sh', folder, process.execPath]
    return (await run(argv)).status === 0
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function makeFolder({ config, secret }: PodOptions): string {
  const folder = mkdtempSync(join(tmpdir(), 'pod-'))
  chmodSync(folder, 0o755)
  for (const [name, files] of Object.entries({ config, secret })) {
    mkdirSync(join(folder, name))
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, name, file), text)
  }
  copyFileSync(START, join(folder, 'start'))
  chmodSync(join(folder, 'start'), 0o755)
  return folder
}

/** Starts it on ports of its own; resolves when it is ready. */
export async function startPod(options: PodOptions): Promise<RunningPod> {
  const folder = makeFolder(options)
  const [port, metricsPort] = [await freePort(), await freePort()]
  const command = [...DRIVER, ...RIGHTS, 'postern-start', ...options.args]
  const script = `${PREPARE}exec ${command.join(' ')} >> /srv/log 2>&1`
  writeFileSync(join(folder, 'log'), '')
  const argv = ['unshare', ...NAMESPACES, 'sh', '-c', script, 'sh', folder, gatewayBinary()]
  const child = Bun.spawn(argv, {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: {
      PATH: process.env['PATH'],
      POSTERN_SERVERS_DEFAULT_ADDRESS: `127.0.0.1:${port}`,
      POSTERN_METRICS_DEFAULT_ADDRESS: `127.0.0.1:${metricsPort}`,
    },
  })
  const watchdog = startWatchdog({ folder, signal: 'KILL', process: child.pid })
  const log = (): Promise<string> => Bun.file(join(folder, 'log')).text()
  const isReady = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(await log())
    const page = await fetch(`http://127.0.0.1:${metricsPort}/readyz`).catch(() => null)
    return page?.status === 200
  }
  await until('the pod is ready', isReady)
  return {
    metricsPort,
    log,
    async stop() {
      // The one process below that of the namespace is the gateway.
      const children = `/proc/${child.pid}/task/${child.pid}/children`
      process.kill(Number((await Bun.file(children).text()).trim()), 'SIGTERM')
      const status = await child.exited
      await watchdog.release()
      return status
    },
  }
}
