#!/bin/sh
# The aws CLI rents, uses, stops, starts and ends a machine, and meets AWS's own errors.
. "$(dirname "$0")/lib.sh"
need aws ssh-keygen ssh
begin
ec2() { aws ec2 --output text "$@"; }

aws sts get-caller-identity --query Account --output text | grep -qx '[0-9]\{12\}' || fail "no account"
newest=/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id
ami=$(aws ssm get-parameter --name $newest --query Parameter.Value --output text)

ssh-keygen -q -t ed25519 -N '' -f "$scratch/key"
ec2 import-key-pair --key-name k --public-key-material "fileb://$scratch/key.pub" >/dev/null
group=$(ec2 create-security-group --group-name g --description d --query GroupId)
ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port 22 --cidr 127.0.0.1/32 >/dev/null

run() { ec2 run-instances --image-id "$ami" --instance-type t3.micro --key-name k --security-group-ids "$group" \
  --client-token token-1 --query 'Instances[0].InstanceId' "$@"; }
id=$(run)
[ "$(run)" = "$id" ] || fail "the same token rented twice"
expect_code IdempotentParameterMismatch run --ebs-optimized
expect_code DryRunOperation run --dry-run --client-token other
ec2 wait instance-running --instance-ids "$id"

locate() {
  address=$(ec2 describe-instances --instance-ids "$id" --query 'Reservations[0].Instances[0].PublicDnsName')
  port=$(ec2 describe-tags --filters Name=resource-id,Values="$id" Name=key,Values=ferry:ssh-port \
    --query 'Tags[0].Value')
  [ "$port" = None ] && port=22
  return 0
}
login() {
  ssh -F none -i "$scratch/key" -p "$port" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile="$scratch/known-$address" -o LogLevel=ERROR "ubuntu@$address" "$@"
}
locate
[ "$(login 'echo hello > note; id -un; cat note' | tail -n 1)" = hello ] || fail "no login"
first=$address
ec2 stop-instances --instance-ids "$id" >/dev/null
ec2 wait instance-stopped --instance-ids "$id"
if pgrep -f "$instances/$id" >/dev/null; then fail "a stopped instance has processes"; fi
ec2 start-instances --instance-ids "$id" >/dev/null
ec2 wait instance-running --instance-ids "$id"
ec2 wait instance-status-ok --instance-ids "$id"
locate
[ "$(login cat note)" = hello ] || fail "the disk was not kept"
[ "$address" != "$first" ] || fail "the public name stayed the same"

expect_code DependencyViolation ec2 delete-security-group --group-id "$group"
expect_code InvalidKeyPair.Duplicate ec2 import-key-pair --key-name k --public-key-material "fileb://$scratch/key.pub"
expect_code InvalidAMIID.NotFound ec2 run-instances --image-id ami-00000000000000000 --instance-type t3.micro
expect_code InvalidInstanceID.NotFound ec2 terminate-instances --instance-ids i-00000000000000000
(AWS_SECRET_ACCESS_KEY=wrong; export AWS_SECRET_ACCESS_KEY; expect_code AuthFailure ec2 describe-instances) || exit 1
(
  export AWS_ACCESS_KEY_ID=AKIAWRONGWRONGWRONG0
  expect_code InvalidClientTokenId aws sts get-caller-identity
) || exit 1

ec2 terminate-instances --instance-ids "$id" >/dev/null
ec2 wait instance-terminated --instance-ids "$id"
nothing_left

scaling() { aws autoscaling --output text "$@"; }
ec2 create-launch-template --launch-template-name next \
  --launch-template-data "ImageId=$ami,InstanceType=t3.micro,SecurityGroupIds=$group" >/dev/null
expect_code ValidationError scaling set-desired-capacity --auto-scaling-group-name one --desired-capacity 1
scaling create-auto-scaling-group --auto-scaling-group-name one --launch-template LaunchTemplateName=next --min-size 0 \
  --max-size 1 --desired-capacity 1 --availability-zones us-east-1a us-east-1b
expect_code AlreadyExists scaling create-auto-scaling-group --auto-scaling-group-name one \
  --launch-template LaunchTemplateName=next --min-size 0 --max-size 1 --availability-zones us-east-1a
of_group() { scaling describe-auto-scaling-groups --auto-scaling-group-names one \
  --query 'AutoScalingGroups[0].Instances[?LifecycleState==`InService`].InstanceId'; }
next_machine() {
  for _ in $(seq 100); do
    id=$(of_group)
    [ -n "$id" ] && [ "$id" != None ] && [ "$id" != "${1:-}" ] && return
    sleep 0.1
  done
  fail "the group has no machine"
}
next_machine
ec2 terminate-instances --instance-ids "$id" >/dev/null
first=$id
next_machine "$first"
scaling delete-auto-scaling-group --auto-scaling-group-name one --force-delete
ec2 wait instance-terminated --instance-ids "$id"
ec2 delete-launch-template --launch-template-name next >/dev/null
nothing_left
ec2 delete-security-group --group-id "$group" >/dev/null
ec2 delete-key-pair --key-name k >/dev/null
echo PASS
