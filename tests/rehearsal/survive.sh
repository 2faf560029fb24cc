#!/bin/sh
# Many starts make one server; kill -9 of it loses nothing; `stop` leaves nothing.
. "$(dirname "$0")/lib.sh"
need aws
starters=
for _ in 1 2 3 4 5 6; do "$ferry" rehearsal start >/dev/null & starters="$starters $!"; done
for starter in $starters; do wait "$starter" || fail "a start failed"; done
begin
home=$XDG_DATA_HOME/ferry/rehearsal
server_pid() { sed 's/.*"pid":\([0-9]*\).*/\1/' "$home/server.json"; }
[ "$(pgrep -cf "rehearsal serve --dir $home")" = 1 ] || fail "not exactly one server"
for file in state.json server.json; do
  [ "$(stat -c %a "$home/$file")" = 600 ] || fail "$file can be read by others"
done

ami=$(aws ec2 describe-images --owners 099720109477 --filters Name=architecture,Values=x86_64 \
  --query 'Images[0].ImageId' --output text)
first=$(aws ec2 run-instances --image-id "$ami" --instance-type t3.micro --query 'Instances[0].InstanceId' \
  --output text)
aws ec2 wait instance-running --instance-ids "$first"
url=$AWS_ENDPOINT_URL
second=$(aws ec2 run-instances --image-id "$ami" --instance-type t3.micro --query 'Instances[0].InstanceId' \
  --output text)
kill -9 "$(server_pid)"
pgrep -f "$instances/$first" >/dev/null || fail "the instance died with the server"
begin
[ "$AWS_ENDPOINT_URL" = "$url" ] || fail "the port changed"
aws ec2 wait instance-running --instance-ids "$first" "$second"
aws ec2 terminate-instances --instance-ids "$second" >/dev/null
kill -9 "$(server_pid)"
begin
aws ec2 wait instance-terminated --instance-ids "$second"

# A group that replaces its machines goes on with another server, and replaces nothing when all is to end.
aws ec2 create-launch-template --launch-template-name next \
  --launch-template-data "ImageId=$ami,InstanceType=t3.micro" >/dev/null
aws autoscaling create-auto-scaling-group --auto-scaling-group-name one --launch-template LaunchTemplateName=next \
  --min-size 0 --max-size 1 --desired-capacity 1 --availability-zones us-east-1a
of_group() { aws autoscaling describe-auto-scaling-groups \
  --query 'AutoScalingGroups[].Instances[?LifecycleState==`InService`].InstanceId' --output text; }
for _ in $(seq 100); do third=$(of_group); [ -n "$third" ] && break; sleep 0.1; done
aws ec2 terminate-instances --instance-ids "$third" >/dev/null
kill -9 "$(server_pid)"
begin
for _ in $(seq 100); do fourth=$(of_group); [ -n "$fourth" ] && [ "$fourth" != "$third" ] && break; sleep 0.1; done
[ -n "$fourth" ] && [ "$fourth" != "$third" ] || fail "no machine took the place of $third"
"$ferry" rehearsal stop >/dev/null
nothing_left
begin
left=$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[].AutoScalingGroupName' --output text)
[ -z "$left" ] || fail "a group was left"
"$ferry" rehearsal stop >/dev/null
nothing_left
if pgrep -f "rehearsal serve --dir $home" >/dev/null; then fail "the server lives on"; fi
"$ferry" rehearsal stop >/dev/null || fail "stopping twice is not calm"
echo PASS
