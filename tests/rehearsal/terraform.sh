#!/bin/sh
# terraform applies and destroys one instance with a role, key pair, security group and a volume of its own, and a group
# of one from a launch template.
. "$(dirname "$0")/lib.sh"
need terraform ssh-keygen
for folder in ${FERRY_TF_MIRROR:-} /opt/tf-plugins /usr/local/share/terraform/plugins /usr/share/terraform/plugins \
  "$HOME/.terraform.d/plugins"; do
  if [ -d "$folder/registry.terraform.io/hashicorp/aws" ]; then mirror=$folder; break; fi
done
[ -n "${mirror:-}" ] || skip "no mirror of terraform's aws provider (set FERRY_TF_MIRROR)"
begin
cd "$scratch"
cat > terraformrc <<EOF
provider_installation {
  filesystem_mirror { path = "$mirror" }
}
EOF
export TF_CLI_CONFIG_FILE=$scratch/terraformrc TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
ssh-keygen -q -t ed25519 -N '' -f key
cat > main.tf <<'EOF'
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" {}
data "aws_ami" "deep" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) *"]
  }
}
resource "aws_key_pair" "key" {
  key_name   = "tf"
  public_key = file("${path.module}/key.pub")
}
resource "aws_security_group" "ssh" {
  name = "tf-ssh"
  ingress {
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["127.0.0.1/32"]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}
data "aws_iam_policy_document" "store" {
  statement {
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["arn:aws:s3:::store/runs/*"]
  }
}
resource "aws_iam_policy" "bound" {
  name   = "tf-bound"
  path   = "/tf/"
  policy = data.aws_iam_policy_document.store.json
}
resource "aws_iam_role" "trainer" {
  name                 = "tf-trainer"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = aws_iam_policy.bound.arn
  tags                 = { owner = "tf" }
}
resource "aws_iam_role_policy" "store" {
  name   = "store"
  role   = aws_iam_role.trainer.id
  policy = data.aws_iam_policy_document.store.json
}
resource "aws_iam_role_policy_attachment" "bound" {
  role       = aws_iam_role.trainer.name
  policy_arn = aws_iam_policy.bound.arn
}
resource "aws_iam_instance_profile" "trainer" {
  name = "tf-trainer"
  role = aws_iam_role.trainer.name
}
resource "aws_instance" "box" {
  ami                    = data.aws_ami.deep.id
  instance_type          = "g5.xlarge"
  key_name               = aws_key_pair.key.key_name
  iam_instance_profile   = aws_iam_instance_profile.trainer.name
  vpc_security_group_ids = [aws_security_group.ssh.id]
  tags                   = { Name = "tf-box" }
  lifecycle { ignore_changes = [tags["ferry:ssh-port"], tags_all["ferry:ssh-port"]] }
  metadata_options { http_tokens = "required" }
  root_block_device {
    volume_size = 60
    encrypted   = true
  }
}
resource "aws_ebs_volume" "data" {
  availability_zone = aws_instance.box.availability_zone
  size              = 20
  type              = "gp3"
  tags              = { Name = "tf-data" }
}
resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.box.id
}
resource "aws_launch_template" "spot" {
  name                                 = "tf-spot"
  image_id                             = data.aws_ami.deep.id
  instance_type                        = "g4dn.xlarge"
  key_name                             = aws_key_pair.key.key_name
  vpc_security_group_ids               = [aws_security_group.ssh.id]
  instance_initiated_shutdown_behavior = "terminate"
  user_data                            = base64encode("#!/bin/sh\n")
  iam_instance_profile { name = aws_iam_instance_profile.trainer.name }
  instance_market_options { market_type = "spot" }
  metadata_options { http_tokens = "required" }
  block_device_mappings {
    device_name = "/dev/sda1"
    ebs {
      volume_size = 60
      encrypted   = true
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "tf-spot" }
  }
}
data "aws_subnets" "default" {
  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}
resource "aws_autoscaling_group" "one" {
  name                = "tf-one"
  min_size            = 0
  max_size            = 1
  desired_capacity    = 1
  vpc_zone_identifier = data.aws_subnets.default.ids
  suspended_processes = ["AZRebalance"]
  launch_template {
    id      = aws_launch_template.spot.id
    version = aws_launch_template.spot.latest_version
  }
  tag {
    key                 = "owner"
    value               = "tf"
    propagate_at_launch = true
  }
}
resource "aws_autoscaling_schedule" "end" {
  scheduled_action_name  = "end"
  autoscaling_group_name = aws_autoscaling_group.one.name
  start_time             = "2099-01-01T00:00:00Z"
  min_size               = 0
  max_size               = 0
  desired_capacity       = 0
}
output "address" { value = aws_instance.box.public_ip }
EOF
terraform init -no-color >init.log 2>&1 || { cat init.log >&2; fail "init"; }
terraform apply -auto-approve -no-color >apply.log 2>&1 || { cat apply.log >&2; fail "apply"; }
terraform output -raw address | grep -q '^127\.' || fail "no address"
code=0
terraform plan -detailed-exitcode -no-color >plan.log 2>&1 || code=$?
[ $code -eq 0 ] || { cat plan.log >&2; fail "a second plan is not empty"; }
terraform destroy -auto-approve -no-color >destroy.log 2>&1 || { cat destroy.log >&2; fail "destroy"; }
nothing_left
echo PASS
