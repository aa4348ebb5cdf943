/**
 * A service manager of its own for one test: the real systemd as the first process of namespaces of
 * its own, with deploy/postern.service and nothing else to manage. What it writes to /etc, /run,
 * /var and /usr/local/bin goes to memory and is gone with it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { run } from './command.ts'
import { gatewayBinary } from './gateway.ts'
import { startWatchdog } from './watchdog.ts'

const UNIT = resolve(import.meta.dir, '../../deploy/postern.service')
const SYSTEMD = '/lib/systemd/systemd'
const NAMESPACES = ['--mount', '--pid', '--fork', '--cgroup', '--ipc', '--uts', '--kill-child']
const POLL_MS = 20
const PAUSED = 'script-paused'
const DONE = 'script-done'

// /srv is where the files of the test are seen from inside. The units are looked for there only:
// what the machine runs is not started a second time.
const PREPARE = `set -e
mount --make-rprivate /
mount --bind "$1" /srv
mkdir -p /srv/scratch
mount -t tmpfs tmpfs /srv/scratch
mkdir /srv/scratch/upper /srv/scratch/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/srv/scratch/upper,workdir=/srv/scratch/work /etc
echo 'postern:x:10001:10001::/nonexistent:/usr/sbin/nologin' >> /etc/passwd
echo 'postern:x:10001:' >> /etc/group
mkdir /etc/postern
cp /srv/etc/* /etc/postern/
chmod 755 /etc/postern /etc/postern/*
for folder in /run /var/log /var/tmp /usr/local/bin; do mount -t tmpfs tmpfs "$folder"; done
touch /usr/local/bin/postern
mount --bind "$2" /usr/local/bin/postern
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
`
const BEGIN = `mount -t tmpfs tmpfs /tmp
export container=test SYSTEMD_UNIT_PATH=/srv/units SYSTEMD_LOG_TARGET=null
exec ${SYSTEMD} --system --unit=test.target --show-status=0
`
/** The start and stop of a system, which its services usually wait for, are not there. */
const DROP_IN = `[Unit]
DefaultDependencies=no
[Service]
StandardOutput=append:/srv/gateway.log
StandardError=append:/srv/gateway.log
`
const TARGET = `[Unit]
Wants=script.service
`
const SCRIPT_SERVICE = `[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh /srv/script.sh
StandardOutput=append:/srv/script.log
StandardError=append:/srv/script.log
`

export interface SystemdOptions {
  /** Files of /etc/postern. */
  readonly files: Readonly<Record<string, string | Uint8Array>>
  /** Lines for the section [Service], over those of the unit. */
  readonly service?: string
  /** What is done once systemd runs, in sh: before `between` and after it. */
  readonly scripts: readonly [string, string]
  /** Done outside, which has the same network. */
  readonly between: () => Promise<void>
  readonly timeoutMs: number
}

export interface SystemdOutcome {
  /** What the scripts have written. */
  readonly output: string
  /** What the gateway has written. */
  readonly log: string
}

/** Whether such a systemd can be had: it takes root, and a machine that permits all of it. */
export async function hasSystemd(): Promise<boolean> {
  if (process.getuid?.() !== 0 || Bun.which('unshare') === null) return false
  if (!(await Bun.file(SYSTEMD).exists()) || Bun.which('systemctl') === null) return false
  const folder = mkdtempSync(join(tmpdir(), 'systemd-'))
  try {
    mkdirSync(join(folder, 'etc'))
    writeFileSync(join(folder, 'etc/none'), '')
    const argv = ['unshare', ...NAMESPACES, '--mount-proc', 'sh', '-c', PREPARE, 'sh', folder]
    return (await run([...argv, process.execPath])).status === 0
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs the scripts under a systemd of its own; rejects where they take too long. */
export async function underSystemd(options: SystemdOptions): Promise<SystemdOutcome> {
  const folder = mkdtempSync(join(tmpdir(), 'systemd-'))
  writeFiles(folder, options)
  const argv = [...NAMESPACES, '--mount-proc', 'sh', '-c', PREPARE + BEGIN, 'sh', folder]
  const child = Bun.spawn(['unshare', ...argv, gatewayBinary()], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  const watchdog = startWatchdog({ folder, signal: 'KILL', process: child.pid })
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const endsAtMs = performance.now() + options.timeoutMs
  const said = async (words: string): Promise<void> => {
    while (!read('script.log').includes(words)) {
      if (child.exitCode !== null || performance.now() > endsAtMs) {
        throw new Error(`not said: ${words}\n${read('script.log')}${read('gateway.log')}`)
      }
      await Bun.sleep(POLL_MS)
    }
  }
  try {
    await said(PAUSED)
    await options.between()
    writeFileSync(join(folder, 'go-on'), '')
    await said(DONE)
    return { output: read('script.log'), log: read('gateway.log') }
  } finally {
    child.kill('SIGKILL')
    await child.exited
    await watchdog.release()
  }
}

function writeFiles(folder: string, { files, service = '', scripts }: SystemdOptions): void {
  const [before, after] = scripts
  const wait = `echo ${PAUSED}\nwhile [ ! -e /srv/go-on ]; do sleep 0.02; done\n`
  const all = {
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`etc/${name}`, text])),
    'units/postern.service': readFileSync(UNIT, 'utf8'),
    'units/postern.service.d/test.conf': DROP_IN + service,
    'units/test.target': TARGET,
    'units/script.service': SCRIPT_SERVICE,
    'script.sh': `${before}\n${wait}${after}\necho ${DONE}\n`,
    'script.log': '',
    'gateway.log': '',
  }
  mkdirSync(join(folder, 'units/postern.service.d'), { recursive: true })
  mkdirSync(join(folder, 'etc'))
  for (const [name, content] of Object.entries(all)) writeFileSync(join(folder, name), content)
}
