import t from 'tap';
import { compileTexts, EGRESS, lines, snapshotOf, withIdentities } from './fixtures/compiling.ts';

const SECOND = EGRESS.replace('name: egress', 'name: other');

t.test('the only ZoneEgress needs no name; of several the name chooses', async (t) => {
  const one = compileTexts([EGRESS]);
  t.same(one.kind === 'compiled' && one.listener, { name: 'egress', address: '10.0.0.1', port: 10002, adminPort: 9901 });
  const two = compileTexts([EGRESS, SECOND], { name: 'other' });
  t.equal(two.kind === 'compiled' && two.listener.name, 'other');
});

t.test('none, several or a wrong name is an error that lists what there is', async (t) => {
  t.same(lines(compileTexts([])), [
    'resources no ZoneEgress is among the resources, and no Dataplane with a ZoneEgress listener: it says where to listen',
  ]);
  t.same(lines(compileTexts([EGRESS, SECOND])), ['--name has to be set: 2 ZoneEgresses are among the resources: egress, other']);
  t.same(lines(compileTexts([EGRESS, SECOND], { name: 'x' })), [
    '--name "x": no ZoneEgress has this name; there are: egress, other',
  ]);
});

t.test('in Kubernetes form the name works with and without its namespace', async (t) => {
  const text = `apiVersion: kuma.io/v1alpha1
kind: ZoneEgress
metadata: {name: egress, namespace: kuma-system}
spec: {zone: zone-1, networking: {port: 10002, admin: {port: 9999}}}
`;
  for (const name of ['egress', 'egress.kuma-system']) {
    const compiled = compileTexts([text], { name });
    t.same(compiled.kind === 'compiled' && compiled.listener, {
      name: 'egress.kuma-system',
      address: '',
      port: 10002,
      adminPort: 9999,
    });
  }
});

t.test('the zone is that of the resource, else the option; one of them is needed', async (t) => {
  const nowhere = EGRESS.replace('zone: zone-1\n', '');
  t.equal(snapshotOf(compileTexts([nowhere], { zone: 'zone-9' })).zone, 'zone-9');
  t.match(lines(compileTexts([nowhere])), [/^zone.yaml:1:1 zone: is not set: say the zone here or with --zone/]);
  const both = compileTexts([EGRESS], { ...withIdentities, zone: 'zone-9' });
  t.equal(snapshotOf(both).zone, 'zone-1');
  t.same(lines(both), ['zone.yaml:1:1 warning: zone: is "zone-1", and --zone says "zone-9": the resource counts']);
});

t.test('the networking of a ZoneEgress is checked as Kuma does', async (t) => {
  const networking = (text: string): readonly string[] =>
    lines(compileTexts([EGRESS.replace('{address: 10.0.0.1, port: 10002}', text)]));
  const port = 'networking.port: port must be in the range [1, 65535]';
  t.same(networking('{address: 10.0.0.1}'), [`zone.yaml:4:13 ${port}`]);
  t.same(networking('{port: 70000}'), [`zone.yaml:4:20 ${port}`]);
  t.same(networking('{address: 127.0.0.1, port: 10, admin: {port: 10}}'), [
    'zone.yaml:4:58 networking.admin.port: must differ from port',
  ]);
  t.same(networking('{address: 10.0.0.1, port: 10, admin: {port: 10}}'), []);
  t.same(networking('{address: "::", port: 10}'), ['zone.yaml:4:23 networking.address.address: must not be 0.0.0.0 or ::']);
  t.same(networking('{address: "a b", port: 10}'), [
    'zone.yaml:4:23 networking.address.address: address has to be valid IP address or domain name',
  ]);
  t.same(networking('{port: "10002"}'), []);
  t.same(networking('{port: -1}'), [
    'zone.yaml:4:20 networking.port: must be a whole number, 0 or more',
    `zone.yaml:4:20 ${port}`,
  ]);
});
